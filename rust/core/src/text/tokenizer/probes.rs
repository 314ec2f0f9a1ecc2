//! The texts on which the engines have to agree before the fast one serves.

/// Texts that tokenizers are known to read differently from one another.
const NASTY: &[&str] = &[
    "",
    " ",
    "  ",
    "\n",
    "\r\n",
    "\t\t x",
    "a",
    " a",
    "a ",
    "  a  ",
    "The mill grinds, and the miller's asleep.",
    "I'm I'M you're YOU'RE he'd it'll we've 's 'S 'ſ ''s s' 't'm",
    "don't DON'T don\u{2019}t can't've y'all'd",
    "1 12 123 1234 12345 0x1F 3.14 1,000,000 1e-9 \u{664}\u{665}\u{666} \u{b2}\u{bd}\u{2167}",
    "fn main() {\n    println!(\"{}\", 1);\n}\n",
    "if x:\n\tpass\n\n\n\nelse:\r\n\r\n\treturn\r",
    "          ten spaces\n   three   \n \n  \n",
    "trailing   ",
    "a\u{a0}b\u{2003}c\u{3000}d\u{200b}e\u{feff}f\u{85}g\u{2028}h\u{180e}i\u{1680}j",
    "\u{0}\u{1}\u{7f}\u{80}\u{9f}nul\u{0}nul",
    "_under__score_ snake_case CamelCase ALLCAPS mixedCASE iPhone McDonald",
    "!!! ... ?! -- --- === /// //\n\\\\ @@ ## $$ %% ^^ && ** (( )) [[ ]] {{ }} << >> ~~ `` ''' \"\"\"",
    "https://example.org/a/b?c=d&e=%20f#g user@example.org /usr/local/bin C:\\Users\\x",
    "Gr\u{fc}\u{df}e aus K\u{f6}ln, na\u{ef}ve fa\u{e7}ade \u{130}stanbul \u{1c5}\u{1c8} \u{17f}\u{3c2}\u{3c3}",
    "e\u{301} a\u{30a}\u{323} \u{1e69} s\u{323}\u{307} \u{301}\u{302} o\u{308}\u{304} \u{1100}\u{1161}\u{11a8} \u{ac01}",
    "\u{fb01}\u{fb03} \u{2460}\u{2122}\u{212b} \u{ff21}\u{ff11}\u{ff41} \u{3a9}\u{2126} \u{fdfa} \u{33c2}",
    "Мельница мелет муку; Ёлка й и\u{306}",
    "水車は粉を挽く。ガギグ カ\u{3099} 한국어 방앗간 風車磨麵粉,一二三!龥龦",
    "\u{645}\u{637}\u{62d}\u{646}\u{629} \u{5d8}\u{5d7}\u{5e0}\u{5d4} \u{91a}\u{915}\u{94d}\u{915}\u{940} \u{e42}\u{e23}\u{e07}\u{e2a}\u{e35} \u{1019}\u{103c}",
    "🦀🦀 👩\u{200d}👩\u{200d}👧\u{200d}👦 👍🏽 🇩🇪🇫🇷 ☃\u{fe0f} 1\u{fe0f}\u{20e3} 🏴\u{e0067}\u{e0062}\u{e007f}",
    "\u{e000}\u{f8ff}\u{fffd}\u{fffc}\u{fdd0}\u{1f9ff}\u{20000}\u{2a6df}\u{e0100}",
    "<|endoftext|> <|endoftext|><|im_start|>user<|im_end|> <s>a</s> [CLS] [SEP][MASK] <pad><unk> <0x0A> <mask>",
    "<|begin_of_text|>x<|end_of_text|><|eot_id|> <\u{ff5c}begin\u{2581}of\u{2581}sentence\u{ff5c}> <bos><eos> ▁a▁▁b Ġa Ċ ##ing",
    "x\u{300}\u{300}\u{300}\u{300}\u{300}\u{300}\u{300}\u{300}",
];

/// The texts built in.
pub(super) fn built_in() -> Vec<String> {
    let mut texts: Vec<String> = NASTY.iter().map(|text| (*text).to_owned()).collect();
    texts.push(" ".repeat(300) + "x" + &"\n".repeat(300));
    texts.push("ab".repeat(700));
    texts.push("!?".repeat(300) + &"7".repeat(300));
    texts.extend(samples());
    texts
}

/// Characters of every block, each alone and between letters, digits and spaces.
fn samples() -> Vec<String> {
    // Prime, so that samples do not fall on the same place of every block.
    const STEP: usize = 61;
    let chars: Vec<char> = ('\u{80}'..'\u{20000}').step_by(STEP).chain('\u{80}'..'\u{100}').collect();
    chars
        .chunks(32)
        .map(|chunk| {
            let mut text = String::new();
            for char in chunk {
                text.extend(["a", &char.to_string(), "b ", &char.to_string(), "1", &char.to_string(), " "]);
            }
            text
        })
        .collect()
}

/// A text of each added token: alone, twice, and among other things.
pub(super) fn of_added(content: &str) -> String {
    format!("a{content}b {content} {content}{content}\n{content}.")
}
