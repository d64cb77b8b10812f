//! Spellings of the same: a text as the rules look at it, and the way back to where it stands in the original.

/// A text in plain digits, letters, blanks and hyphens.
pub(super) struct Folded {
    text: String,
    /// From this byte of `text` on, the original's is so much …: `(here, there)`, rising.
    steps: Vec<(usize, usize)>,
}

enum Fold {
    To(char),
    Away,
}

fn fold(character: char) -> Option<Fold> {
    let digit = |zero: u32| char::from_u32(character as u32 - zero + u32::from('0'));
    let to = match character {
        // Full-width letters, digits, and what stands in numbers and addresses.
        '\u{ff10}'..='\u{ff19}' | '\u{ff21}'..='\u{ff3a}' | '\u{ff41}'..='\u{ff5a}' => {
            char::from_u32(character as u32 - 0xfee0)
        }
        '\u{ff08}' => Some('('),
        '\u{ff09}' => Some(')'),
        '\u{ff0b}' => Some('+'),
        '\u{ff0d}' | '\u{2010}'..='\u{2015}' | '\u{2212}' => Some('-'),
        '\u{ff0e}' => Some('.'),
        '\u{ff20}' => Some('@'),
        '\u{ff3f}' => Some('_'),
        '\u{0660}'..='\u{0669}' => digit(0x0660),
        '\u{06f0}'..='\u{06f9}' => digit(0x06f0),
        '\u{0966}'..='\u{096f}' => digit(0x0966),
        '\u{00a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{3000}' => Some(' '),
        // Seen by nobody.
        '\u{00ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}' => return Some(Fold::Away),
        _ => None,
    };
    to.map(Fold::To)
}

/// One character as the rules see it; `None`: not at all.
pub(super) fn plain(character: char) -> Option<char> {
    match fold(character) {
        None => Some(character),
        Some(Fold::To(plain)) => Some(plain),
        Some(Fold::Away) => None,
    }
}

/// The text as the rules see it; `None` when that is the text itself.
pub(super) fn folded(text: &str) -> Option<Folded> {
    if text.is_ascii() || !text.chars().any(|character| fold(character).is_some()) {
        return None;
    }
    let mut folded = Folded {
        text: String::with_capacity(text.len()),
        steps: Vec::new(),
    };
    for (at, character) in text.char_indices() {
        match fold(character) {
            None => {
                folded.text.push(character);
                continue;
            }
            Some(Fold::To(plain)) => folded.text.push(plain),
            Some(Fold::Away) => {}
        }
        let after = at + character.len_utf8();
        folded.steps.push((folded.text.len(), after));
    }
    Some(folded)
}

impl Folded {
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Where a byte of this text stands in the original.
    pub(super) fn original(&self, at: usize) -> usize {
        let step = self.steps.partition_point(|(here, _)| *here <= at);
        match step.checked_sub(1).map(|step| self.steps[step]) {
            Some((here, there)) => there + (at - here),
            None => at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_found_again() {
        assert!(folded("plain, 中文，and é").is_none());
        let text = "电话１３8\u{200b}－x（é）";
        let folded = folded(text).unwrap();
        assert_eq!(folded.text(), "电话138-x(é)");
        for (plain, original) in [("138", "１３8\u{200b}"), ("-x", "－x"), ("(é)", "（é）")]
        {
            let at = folded.text().find(plain).unwrap();
            let span = folded.original(at)..folded.original(at + plain.len());
            assert_eq!(&text[span], original);
        }
        assert_eq!(folded.original(folded.text().len()), text.len());
    }
}
