//! A small, strict reader of JSON: enough for the `state.json` that `save_to_disk` leaves beside its shards.

/// Deeper nesting than any state file has; a bound on recursion over hostile files.
const MAX_DEPTH: usize = 64;

/// A JSON value; numbers keep only that they are numbers, since nobody here asks for them.
#[derive(Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number,
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads a whole document; the error says at which byte it stopped making sense.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { bytes: text.as_bytes(), at: 0 };
        let value = parser.value(0)?;
        parser.skip_space();
        if parser.at == parser.bytes.len() { Ok(value) } else { Err(parser.problem("end of file")) }
    }

    /// The value of a key, where this is an object that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn value(&mut self, depth: usize) -> Result<Json, String> {
        if depth > MAX_DEPTH {
            return Err(self.problem("less nesting"));
        }
        self.skip_space();
        match self.bytes.get(self.at) {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.text().map(Json::Text),
            Some(b'-' | b'0'..=b'9') => Ok(self.number()),
            _ => self.word(),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, String> {
        self.at += 1;
        let mut entries = Vec::new();
        if self.take(b'}') {
            return Ok(Json::Object(entries));
        }
        loop {
            self.skip_space();
            let key = self.text()?;
            self.expect(b':')?;
            entries.push((key, self.value(depth + 1)?));
            if self.take(b'}') {
                return Ok(Json::Object(entries));
            }
            self.expect(b',')?;
        }
    }

    fn list(&mut self, depth: usize) -> Result<Json, String> {
        self.at += 1;
        let mut values = Vec::new();
        if self.take(b']') {
            return Ok(Json::List(values));
        }
        loop {
            values.push(self.value(depth + 1)?);
            if self.take(b']') {
                return Ok(Json::List(values));
            }
            self.expect(b',')?;
        }
    }

    fn text(&mut self) -> Result<String, String> {
        if self.bytes.get(self.at) != Some(&b'"') {
            return Err(self.problem("a string"));
        }
        self.at += 1;
        let mut out = Vec::new();
        loop {
            match self.bytes.get(self.at) {
                None => return Err(self.problem("a closing quote")),
                Some(b'"') => break,
                Some(b'\\') => {
                    let escaped = self.escape()?;
                    out.extend_from_slice(escaped.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Some(&byte) => {
                    out.push(byte);
                    self.at += 1;
                }
            }
        }
        self.at += 1;
        String::from_utf8(out).map_err(|_| self.problem("UTF-8"))
    }

    fn escape(&mut self) -> Result<char, String> {
        self.at += 1;
        let code = self.bytes.get(self.at).copied();
        self.at += 1;
        Ok(match code {
            Some(b'n') => '\n',
            Some(b't') => '\t',
            Some(b'r') => '\r',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'u') => return self.unicode(),
            _ => return Err(self.problem("a known escape")),
        })
    }

    fn unicode(&mut self) -> Result<char, String> {
        let high = self.hex()?;
        if !(0xD800..0xDC00).contains(&high) {
            return char::from_u32(high).ok_or_else(|| self.problem("a character"));
        }
        if self.bytes.get(self.at..self.at + 2) != Some(b"\\u") {
            return Err(self.problem("the second half of a surrogate pair"));
        }
        self.at += 2;
        let low = self.hex()?;
        if !(0xDC00..0xE000).contains(&low) {
            return Err(self.problem("the second half of a surrogate pair"));
        }
        char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
            .ok_or_else(|| self.problem("a character"))
    }

    fn hex(&mut self) -> Result<u32, String> {
        let digits = self.bytes.get(self.at..self.at + 4).and_then(|raw| std::str::from_utf8(raw).ok());
        let code =
            digits.filter(|text| !text.starts_with('+')).and_then(|text| u32::from_str_radix(text, 16).ok());
        self.at += 4;
        code.ok_or_else(|| self.problem("four hexadecimal digits"))
    }

    fn number(&mut self) -> Json {
        let rest = &self.bytes[self.at..];
        let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
        self.at += rest.iter().take_while(|byte| is_part(byte)).count();
        Json::Number
    }

    fn word(&mut self) -> Result<Json, String> {
        let rest = &self.bytes[self.at.min(self.bytes.len())..];
        // Python's json module also writes the last three.
        let words: [(&[u8], Json); 6] = [
            (b"null", Json::Null),
            (b"true", Json::Bool(true)),
            (b"false", Json::Bool(false)),
            (b"NaN", Json::Number),
            (b"Infinity", Json::Number),
            (b"-Infinity", Json::Number),
        ];
        for (word, value) in words {
            if rest.starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.problem("a value"))
    }

    fn expect(&mut self, byte: u8) -> Result<(), String> {
        if self.take(byte) { Ok(()) } else { Err(self.problem(&format!("'{}'", char::from(byte)))) }
    }

    fn take(&mut self, byte: u8) -> bool {
        self.skip_space();
        let found = self.bytes.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    fn skip_space(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn problem(&self, wanted: &str) -> String {
        format!("not JSON at byte {}: expected {wanted}", self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_file_is_read() {
        let text = r#" {"_data_files": [{"filename": "data-\u00e9\n\ud83d\ude00.arrow"}], "n": -1.5e3,
            "_split": null, "ok": [true, false, []], "o": {}} "#;
        let value = Json::parse(text).expect("sound");
        let Some(Json::List(files)) = value.get("_data_files") else { panic!("no list") };
        assert_eq!(files[0].get("filename"), Some(&Json::Text("data-é\n😀.arrow".to_owned())));
        assert_eq!(value.get("_split"), Some(&Json::Null));
        assert_eq!(value.get("n"), Some(&Json::Number));
        assert_eq!(value.get("absent"), None);
    }

    #[test]
    fn nonsense_is_an_error_and_never_a_panic() {
        let deep = "[".repeat(100_000);
        for text in [
            "",
            "{",
            "[1,",
            "\"",
            "\"\\",
            "\"\\u12",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "nul",
            "{1:2}",
            "1 2",
            &deep,
        ] {
            assert!(Json::parse(text).is_err(), "{text:.20}");
        }
        let sound = r#"{"_data_files": [{"filename": "a\u00e9\ud83d\ude00"}], "x": [null, true, 1]}"#;
        for end in 0..sound.len() {
            if let Some(cut) = sound.get(..end) {
                assert!(Json::parse(cut).is_err(), "{cut}");
            }
        }
    }
}
