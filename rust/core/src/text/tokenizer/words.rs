//! The ids of words that were met before.
//!
//! A model sees nothing but the word it encodes, so a word's ids are looked up where they are known. The engine
//! does the same, word after word, and waits for memory at each: natural text has some hundred thousand words,
//! and the places of rare ones lie in no near cache. Here the places of some words are computed and asked for
//! before the first is looked at. Keys in the slots and inline ids are of the engine's cache (`word_cache.rs` of
//! `tk-encode`) and of gigatoken (<https://github.com/marcelroed/gigatoken>); long words are compared byte by
//! byte here, where they trust a hash: a hit is never another word's.

use std::mem::MaybeUninit;
use std::ops::Range;

use tokenizers_fast::pipeline::Span;
use xxhash_rust::xxh3::xxh3_64;

use crate::fetch::fetch_line;

/// Words whose places are asked for before the first of them is looked at.
const AT_ONCE: usize = 128;

/// Ids that lie in the slot.
const INLINE_IDS: usize = 3;

/// Ids that are copied at once where they lie beside the slots: runs of spaces have as many, and are frequent.
const COPIED_IDS: usize = 16;

/// Bytes of a word that lie in the slot.
const INLINE_BYTES: usize = 15;

/// Longer words are rarely met again.
const MAX_BYTES: usize = 128;

/// Pairs of slots of an empty cache (64 KiB) and of a full one (8 MiB).
const FEWEST_PAIRS: usize = 1 << 10;
const MOST_PAIRS: usize = 1 << 17;

/// Ids, and bytes, that lie beside the slots; beyond it all words are forgotten.
const MOST_BESIDE: usize = 1 << 20;

/// Set in [`Slot::len`] of a word whose bytes lie beside the slots.
const IS_LONG: u32 = 1 << 31;

/// A word and its ids. The ids lie in it where they and the word are short; else it tells where they lie.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Slot {
    key: u128,
    ids: [u32; INLINE_IDS],
    /// How many ids; none is an empty slot.
    len: u32,
}

/// The two slots that a word can have, in one line of the cache.
#[derive(Clone, Copy, Default)]
#[repr(C, align(64))]
struct Pair([Slot; 2]);

const _: () = assert!(size_of::<Pair>() == 64);

/// Where a word is to be found: by this key, in the pair with this number.
#[derive(Clone, Copy, Default)]
struct Place {
    key: u128,
    home: usize,
}

/// What one thread knows of the words of one model.
pub(super) struct Words {
    pairs: Box<[Pair]>,
    /// What [`home`] leaves away: all but the bits that number the pairs.
    shift: u32,
    num_known: usize,
    num_inserted: usize,
    /// Ids that do not lie in slots, and as many zeros behind them as are copied at once.
    ids: Vec<u32>,
    /// Long words.
    bytes: Vec<u8>,
}

impl Default for Words {
    fn default() -> Self {
        Self {
            pairs: vec![Pair::default(); FEWEST_PAIRS].into(),
            shift: u64::BITS - FEWEST_PAIRS.ilog2(),
            num_known: 0,
            num_inserted: 0,
            ids: vec![0; COPIED_IDS],
            bytes: Vec::new(),
        }
    }
}

impl Words {
    /// Appends the ids of the words of a text, in order; `encode` appends those of a word that is not known.
    pub(super) fn encode<E>(
        &mut self,
        text: &str,
        words: &[Span],
        out: &mut Vec<u32>,
        mut encode: impl FnMut(&str, &mut Vec<u32>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut places = [Place::default(); AT_ONCE];
        for words in words.chunks(AT_ONCE) {
            self.make_room();
            for (place, word) in places.iter_mut().zip(words) {
                let key = key(text, word.range());
                let home = home(key, self.shift);
                fetch_line(self.pairs.as_ptr().wrapping_add(home));
                *place = Place { key, home };
            }
            let mut done = 0;
            loop {
                done += self.usual(&places[done..words.len()], out);
                let Some(word) = words.get(done) else { break };
                self.rare(&text[word.range()], places[done], out, &mut encode)?;
                done += 1;
            }
        }
        Ok(())
    }

    /// Appends the ids of the first words, up to one that is not known, is long, or has very many, and tells how many
    /// words they are.
    #[inline]
    fn usual(&self, places: &[Place], out: &mut Vec<u32>) -> usize {
        out.reserve(places.len() * COPIED_IDS);
        let room = out.spare_capacity_mut();
        let (mut num_words, mut num_ids) = (0, 0);
        for &Place { key, home } in places {
            let Pair(slots) = &self.pairs[home];
            let slot = &slots[usize::from(slots[0].key != key)];
            let len = slot.len as usize;
            if slot.key != key || len > COPIED_IDS {
                break;
            }
            // More are written than count, which costs less than to write so many.
            if len <= INLINE_IDS {
                write(&mut room[num_ids..num_ids + INLINE_IDS], &slot.ids);
            } else {
                let first = slot.ids[0] as usize;
                write(&mut room[num_ids..num_ids + COPIED_IDS], &self.ids[first..first + COPIED_IDS]);
            }
            num_words += 1;
            num_ids += len;
        }
        // SAFETY: so many ids were written, and no more than there is room for: each word was given the whole of its.
        unsafe { out.set_len(out.len() + num_ids) };
        num_words
    }

    /// The word that is not known, or of which not all lies in its slot.
    #[inline(never)]
    fn rare<E>(
        &mut self,
        word: &str,
        place: Place,
        out: &mut Vec<u32>,
        encode: &mut impl FnMut(&str, &mut Vec<u32>) -> Result<(), E>,
    ) -> Result<(), E> {
        if word.len() > MAX_BYTES {
            return encode(word, out);
        }
        let Pair(slots) = &self.pairs[place.home];
        let known = slots.iter().position(|slot| slot.key == place.key && slot.len > 0);
        if let Some(ids) = known.and_then(|at| self.beside(&slots[at], word)) {
            out.extend_from_slice(ids);
            return Ok(());
        }
        let before = out.len();
        encode(word, out)?;
        self.insert(word, place, known, &out[before..]);
        Ok(())
    }

    /// The ids of a slot's word that do not lie in it; `None` where it is a long word with the hash of another.
    fn beside(&self, slot: &Slot, word: &str) -> Option<&[u32]> {
        let [first, start, _] = slot.ids.map(|place| place as usize);
        let is_other = slot.len & IS_LONG != 0 && self.bytes[start..start + word.len()] != *word.as_bytes();
        (!is_other).then(|| &self.ids[first..first + (slot.len & !IS_LONG) as usize])
    }

    /// Keeps a word's ids, in place of another's where it has its key or no place is empty.
    fn insert(&mut self, word: &str, place: Place, same: Option<usize>, ids: &[u32]) {
        let mut slot = Slot { key: place.key, ids: [0; INLINE_IDS], len: ids.len() as u32 };
        let is_long = word.len() > INLINE_BYTES;
        if is_long || ids.len() > INLINE_IDS {
            let first = self.ids.len() - COPIED_IDS;
            slot.ids[..2].copy_from_slice(&[first as u32, self.bytes.len() as u32]);
            self.ids.truncate(first);
            self.ids.extend_from_slice(ids);
            self.ids.resize(first + ids.len() + COPIED_IDS, 0);
        } else {
            slot.ids[..ids.len()].copy_from_slice(ids);
        }
        if is_long {
            slot.len |= IS_LONG;
            self.bytes.extend_from_slice(word.as_bytes());
        }
        if slot.len == 0 {
            return;
        }
        let Pair(slots) = &mut self.pairs[place.home];
        let empty = slots.iter().position(|slot| slot.len == 0);
        self.num_known += usize::from(same.is_none() && empty.is_some());
        self.num_inserted += 1;
        slots[same.or(empty).unwrap_or(self.num_inserted % 2)] = slot;
    }

    /// Doubles the slots where half of them are full; forgets all where too much lies beside them.
    fn make_room(&mut self) {
        if self.ids.len() > MOST_BESIDE || self.bytes.len() > MOST_BESIDE {
            *self = Self::default();
        }
        if self.num_known > self.pairs.len() && self.pairs.len() < MOST_PAIRS {
            let pairs = std::mem::take(&mut self.pairs);
            self.pairs = vec![Pair::default(); 2 * pairs.len()].into();
            self.shift -= 1;
            for slot in pairs.iter().flat_map(|pair| pair.0).filter(|slot| slot.len > 0) {
                // The words of a pair go to two pairs: a place is free.
                let Pair(slots) = &mut self.pairs[home(slot.key, self.shift)];
                slots[usize::from(slots[0].len > 0)] = slot;
            }
        }
    }
}

#[inline]
fn write(room: &mut [MaybeUninit<u32>], ids: &[u32]) {
    for (place, id) in room.iter_mut().zip(ids) {
        place.write(*id);
    }
}

/// The pair of a key: the uppermost bits of a product for each half, in which each bit of the key has its say.
#[inline]
fn home(key: u128, shift: u32) -> usize {
    let (low, high) = (key as u64, (key >> 64) as u64);
    let mixed =
        low.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(high.wrapping_mul(0xC2B2_AE3D_27D4_EB4F));
    (mixed >> shift) as usize
}

/// A short word's bytes and, above them, its length; of a long word, a hash.
#[inline]
fn key(text: &str, word: Range<usize>) -> u128 {
    let (len, bytes) = (word.len(), text.as_bytes());
    match bytes.get(word.start..word.start + size_of::<u128>()) {
        Some(block) if len <= INLINE_BYTES => {
            let block = block.try_into().map_or(0, u128::from_le_bytes);
            block & MASKS[len] | (len as u128) << 120
        }
        _ => rare_key(&bytes[word]),
    }
}

/// What is left of a block of which a word has so many bytes.
const MASKS: [u128; INLINE_BYTES + 1] = {
    let mut masks = [0; INLINE_BYTES + 1];
    let mut len = 1;
    while len < masks.len() {
        masks[len] = u128::MAX >> (128 - 8 * len);
        len += 1;
    }
    masks
};

/// The key of a long word, or of one of a text's last.
#[inline(never)]
fn rare_key(word: &[u8]) -> u128 {
    if word.len() > INLINE_BYTES {
        // The length as well: words that are compared have the same.
        return u128::from(u8::MAX) << 120
            | (word.len().min(u32::MAX as usize) as u128) << 64
            | u128::from(xxh3_64(word));
    }
    let mut block = [0; size_of::<u128>()];
    block[..word.len()].copy_from_slice(word);
    u128::from_le_bytes(block) | (word.len() as u128) << 120
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    /// The ids of a word here: as many as `num_ids` says, each of which tells the word.
    fn made_of(word: &str, num_ids: usize) -> Vec<u32> {
        let told = word.bytes().fold(7_u32, |told, byte| told.wrapping_mul(31).wrapping_add(u32::from(byte)));
        (0..num_ids as u32).map(|number| told.wrapping_add(number)).collect()
    }

    /// What a cache says of these words one after the other, and how many of them it had encoded.
    fn encoded(cache: &mut Words, words: &[(String, usize)]) -> (Vec<u32>, usize) {
        let (mut text, mut spans) = (String::new(), Vec::new());
        for (word, _) in words {
            spans.push(Span::new(text.len() as u32, (text.len() + word.len()) as u32));
            text.push_str(word);
        }
        let (mut ids, mut num_encoded) = (Vec::new(), 0);
        let Ok(()) = cache.encode::<Infallible>(&text, &spans, &mut ids, |word, out| {
            num_encoded += 1;
            let known = words.iter().find(|known| known.0 == word).expect("a word of the text");
            out.extend(made_of(word, known.1));
            Ok(())
        });
        (ids, num_encoded)
    }

    fn expected(words: &[(String, usize)]) -> Vec<u32> {
        words.iter().flat_map(|(word, num_ids)| made_of(word, *num_ids)).collect()
    }

    /// A word of a length on either side of every bound, with as many ids as the word alone decides.
    fn word() -> impl Strategy<Value = (String, usize)> {
        let len = prop_oneof![0..20_usize, Just(127), Just(128), Just(129), 0..300_usize];
        (len, 0..40_u8).prop_map(|(len, first)| {
            let word: String = (0..len).map(|at| char::from(b'A' + (first + at as u8 % 3) % 50)).collect();
            (word, usize::from(first) % 7 * usize::from(len > 0))
        })
    }

    proptest! {
        #[test]
        fn every_word_has_its_own_ids_however_often_it_is_met(
            texts in prop::collection::vec(prop::collection::vec(word(), 0..120), 1..6),
        ) {
            let mut cache = Words::default();
            for words in texts.iter().chain(&texts) {
                prop_assert_eq!(encoded(&mut cache, words).0, expected(words));
            }
        }
    }

    #[test]
    fn a_word_is_encoded_once() {
        let words: Vec<_> = ["a", " word", "  ", "of sixteen bytes", "Großmutter", "水車小屋の水車小屋"]
            .map(|word| (word.to_owned(), word.len() % 6 + 1))
            .into();
        let mut cache = Words::default();
        assert_eq!(encoded(&mut cache, &words), (expected(&words), words.len()));
        assert_eq!(encoded(&mut cache, &words), (expected(&words), 0));
    }

    #[test]
    fn a_cache_grows_to_its_bound_and_stays_right() {
        let mut cache = Words::default();
        for round in 0..5 {
            let words: Vec<_> =
                (0..100_000).map(|number| (format!("{}", number + round * 50_000), number % 5 + 1)).collect();
            for words in words.chunks(500) {
                assert_eq!(encoded(&mut cache, words).0, expected(words));
            }
            assert!(cache.pairs.len() <= MOST_PAIRS && cache.ids.len() <= MOST_BESIDE + 1000);
        }
        assert_eq!(cache.pairs.len(), MOST_PAIRS);
    }

    #[test]
    fn a_cache_of_which_too_much_lies_beside_it_begins_anew() {
        let mut cache = Words::default();
        for first in (0..40_000).step_by(400) {
            let words: Vec<_> = (first..first + 400).map(|number| (format!("{number:>40}"), 40)).collect();
            assert_eq!(encoded(&mut cache, &words).0, expected(&words));
            assert!(cache.ids.len() <= MOST_BESIDE + 400 * 40 && cache.bytes.len() <= MOST_BESIDE + 400 * 40);
        }
    }

    #[test]
    fn long_words_with_the_hash_of_another_have_their_own_ids() {
        let mut cache = Words::default();
        let (known, other) = ("a".repeat(20), "b".repeat(20));
        let key = key(&other, 0..20);
        cache.insert(&known, Place { key, home: home(key, cache.shift) }, None, &[1, 2]);
        let words = [(other, 3)];
        assert_eq!(encoded(&mut cache, &words), (expected(&words), 1));
        assert_eq!(encoded(&mut cache, &words), (expected(&words), 0));
    }

    #[test]
    fn the_last_words_of_a_text_have_the_keys_that_they_have_elsewhere() {
        for len in 1..40 {
            let word = "w".repeat(len);
            assert_eq!(key(&word, 0..len), key(&format!("{word}{}", " ".repeat(16)), 0..len), "{len}");
        }
    }
}
