//! What a file's post-processor puts around a text, found out once: the ids of `[CLS]`, `<s>`, `</s>`.

use super::reference::Reference;

/// Texts whose ids tell the frame; the more they differ, the fewer frames explain all of them.
const TEXTS: [&str; 6] = ["x", "the mill", "", "0 1 2", "}\n\n{", "Ж"];

/// The ids before and after every text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frame {
    /// Before the text.
    pub prefix: Vec<u32>,
    /// After the text.
    pub suffix: Vec<u32>,
}

impl Frame {
    /// The one frame that explains what the post-processor does to several texts.
    pub(super) fn find(reference: &Reference) -> Result<Self, String> {
        let mut pairs = Vec::new();
        for text in TEXTS {
            pairs.push((reference.ids(text, true)?, reference.ids(text, false)?));
        }
        let (framed, bare) = &pairs[0];
        let num_added = framed.len().checked_sub(bare.len()).ok_or_else(unknown)?;
        (0..=num_added)
            .map(|at| Self { prefix: framed[..at].to_vec(), suffix: framed[at + bare.len()..].to_vec() })
            .find(|frame| pairs.iter().all(|(framed, bare)| frame.around(bare) == *framed))
            .ok_or_else(unknown)
    }

    fn around(&self, ids: &[u32]) -> Vec<u32> {
        [&self.prefix, ids, &self.suffix].concat()
    }
}

fn unknown() -> String {
    "its post-processor does more than to put tokens before and after the text".to_owned()
}
