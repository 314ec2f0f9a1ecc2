//! Views of pages that hold little beside what is viewed.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BinaryViewArray};
use arrow_buffer::Buffer;
use arrow_data::{ByteView, MAX_INLINE_VIEW_LEN};
use arrow_schema::ArrowError;
use bytes::Bytes;

use super::page_memory::PageMemory;

/// The array without the pages of which it shows less than three quarters: what it shows of those is copied.
///
/// Blocks that are cut inside of a row group begin and end within pages, whose other rows belong to other blocks.
///
/// # Errors
/// Where a view lies outside of its page, which those of the parquet crate never do.
pub(super) fn trimmed(array: &BinaryViewArray) -> Result<ArrayRef, ArrowError> {
    let mut shown = vec![0_usize; array.data_buffers().len()];
    let views = array.views().iter().enumerate().filter(|(row, _)| array.is_valid(*row));
    for view in views.map(|(_, view)| ByteView::from(*view)).filter(is_outside) {
        if let Some(bytes) = shown.get_mut(view.buffer_index as usize) {
            *bytes = bytes.saturating_add(view.length as usize);
        }
    }
    // What a dictionary holds is shown many times over.
    let is_kept = |(buffer, shown): (&Buffer, &usize)| *shown >= buffer.len() / 4 * 3;
    let kept: Vec<bool> = array.data_buffers().iter().zip(&shown).map(is_kept).collect();
    if kept.iter().all(|is_kept| *is_kept) {
        return Ok(Arc::new(array.clone()));
    }
    let copied = shown.iter().zip(&kept).filter(|(_, is_kept)| !**is_kept);
    // The allocator would keep for itself what lies between such pieces when they are gone.
    let mut copies = PageMemory::take(copied.map(|(shown, _)| shown).sum())
        .map_err(|error| ArrowError::MemoryError(error.to_string()))?;
    let mut end = 0;
    let (mut buffers, mut places) = (Vec::new(), Vec::new());
    for (buffer, is_kept) in array.data_buffers().iter().zip(&kept) {
        places.push(buffers.len() as u32);
        buffers.extend(is_kept.then(|| buffer.clone()));
    }
    let of_copies = buffers.len() as u32;
    let moved = array.views().iter().enumerate().map(|(row, raw)| {
        if array.is_null(row) {
            // The parquet crate leaves there whatever stood there.
            return 0;
        }
        let view = ByteView::from(*raw);
        if !is_outside(&view) {
            return *raw;
        }
        let buffer = view.buffer_index as usize;
        if kept[buffer] {
            return ByteView { buffer_index: places[buffer], ..view }.as_u128();
        }
        let value: &[u8] = array.value(row);
        let offset = end as u32;
        end += value.len();
        copies[offset as usize..end].copy_from_slice(value);
        ByteView { buffer_index: of_copies, offset, ..view }.as_u128()
    });
    let views: Vec<u128> = moved.collect();
    buffers.push(Bytes::from_owner(copies).into());
    Ok(Arc::new(BinaryViewArray::try_new(views.into(), buffers, array.nulls().cloned())?))
}

/// Whether a value lies in a buffer, and not in the view itself.
fn is_outside(view: &ByteView) -> bool {
    view.length > MAX_INLINE_VIEW_LEN
}

#[cfg(test)]
mod tests {
    use super::*;

    fn viewed(rows: std::ops::Range<usize>, texts: &[Option<String>]) -> BinaryViewArray {
        let page: Vec<u8> = texts.iter().flatten().flat_map(|text| text.bytes()).collect();
        let whole: BinaryViewArray = texts.iter().map(Option::as_deref).collect();
        assert_eq!(whole.data_buffers().iter().map(Buffer::len).sum::<usize>(), page.len());
        whole.slice(rows.start, rows.len())
    }

    #[test]
    fn what_is_shown_of_few_rows_is_copied_and_the_same() {
        let texts: Vec<_> = (0..100).map(|row| (row % 7 > 0).then(|| format!("{row:>40}"))).collect();
        for rows in [0..100, 0..90, 0..50, 30..31, 99..100, 7..8, 20..20] {
            let array = viewed(rows.clone(), &texts);
            let found = trimmed(&array).unwrap();
            assert_eq!(found.as_ref(), &array as &dyn Array, "{rows:?}");
            let bytes: usize = found.to_data().buffers()[1..].iter().map(Buffer::len).sum();
            let shown: usize = array.iter().flatten().map(<[u8]>::len).sum();
            assert!(bytes <= shown * 4 / 3, "{rows:?}: {bytes} bytes are kept for {shown}");
        }
    }

    #[test]
    fn what_stands_under_a_null_is_no_view() {
        let page = b"abcdefghijklmnop-qrstuvwxyz";
        let view = |offset: u32| {
            let prefix = page[offset as usize..][..4].try_into().unwrap();
            let prefix = u32::from_le_bytes(prefix);
            ByteView { length: 16, prefix, buffer_index: 1, offset }.as_u128()
        };
        let buffers = vec![Buffer::from(vec![0_u8; 400]), Buffer::from(page.as_slice())];
        let nulls = arrow_buffer::NullBuffer::from(vec![true, false, false]);
        // Sound where it stands, and no view of what is copied.
        let array =
            BinaryViewArray::try_new(vec![view(0), view(5), view(1)].into(), buffers, Some(nulls)).unwrap();
        let found = trimmed(&array).unwrap();
        assert_eq!(found.as_ref(), &array as &dyn Array);
        let found = found.to_data();
        assert_eq!(found.buffers()[0].typed_data::<u128>()[1..], [0, 0]);
        assert_eq!(found.buffers()[1..].iter().map(Buffer::len).sum::<usize>(), 16);
    }

    #[test]
    fn short_values_and_several_pages_keep_their_places() {
        let long: Vec<String> = (0..40).map(|row| format!("{row:>30}")).collect();
        let pages: Vec<Buffer> =
            (0..4).map(|page| Buffer::from(long[page * 10..][..10].concat().as_bytes())).collect();
        let view = |row: usize| {
            let text = long[row].as_bytes();
            let prefix = u32::from_le_bytes([text[0], text[1], text[2], text[3]]);
            let (buffer_index, offset) = ((row / 10) as u32, (row % 10 * 30) as u32);
            ByteView { length: 30, prefix, buffer_index, offset }.as_u128()
        };
        // Inside of the first and the last page, as blocks of a row group are.
        let views: Vec<u128> = (8..32).map(view).chain([3]).collect();
        let array = BinaryViewArray::try_new(views.into(), pages, None).unwrap();
        let found = trimmed(&array).unwrap();
        assert_eq!(found.as_ref(), &array as &dyn Array);
        let found = found.to_data();
        let lens: Vec<usize> = found.buffers()[1..].iter().map(Buffer::len).collect();
        assert_eq!(lens, [300, 300, 4 * 30]);
    }
}
