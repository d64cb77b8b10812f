//! A sample of a text that passes, of fixed size however long the text: for an estimate that may be needed
//! at its end and mostly is not.
//!
//! A text that fits is kept whole. Of a longer one every second piece is kept, then every fourth, and so on,
//! so that the sample stays spread over all of it: what opens an answer (a preamble, code) is not what fills
//! it. The text is that of JSON strings, escapes as written.

use super::json;

/// Most bytes kept.
pub(super) const SAMPLE_BYTES: usize = 4 * 1024;
const PIECE_BYTES: usize = 512;

/// See the module.
#[derive(Debug)]
pub(super) struct Sample {
    /// Whole pieces, and the beginning of the one that is being filled.
    kept: Vec<u8>,
    /// Of so many pieces one is kept; a power of two.
    stride: u64,
    /// Bytes that have passed.
    passed: u64,
}

impl Sample {
    pub(super) const fn new() -> Self {
        Self {
            kept: Vec::new(),
            stride: 1,
            passed: 0,
        }
    }

    /// Bytes that have passed.
    pub(super) fn passed(&self) -> u64 {
        self.passed
    }

    pub(super) fn push(&mut self, mut text: &[u8]) {
        while !text.is_empty() {
            let filled = (self.passed % PIECE_BYTES as u64) as usize;
            let (now, later) = text.split_at(text.len().min(PIECE_BYTES - filled));
            if (self.passed / PIECE_BYTES as u64).is_multiple_of(self.stride) {
                if self.kept.len() == SAMPLE_BYTES {
                    self.thin_out();
                    // What was due at the narrower stride may not be at the wider one.
                    continue;
                }
                self.keep(now);
            }
            self.passed += now.len() as u64;
            text = later;
        }
    }

    /// Never takes more memory than the sample may.
    fn keep(&mut self, bytes: &[u8]) {
        let needed = self.kept.len() + bytes.len();
        if needed > self.kept.capacity() {
            let room = (2 * needed).clamp(64, SAMPLE_BYTES);
            self.kept.reserve_exact(room - self.kept.len());
        }
        self.kept.extend_from_slice(bytes);
    }

    /// Drops every second piece.
    fn thin_out(&mut self) {
        let pieces = SAMPLE_BYTES / PIECE_BYTES;
        for to in 1..pieces / 2 {
            let from = 2 * to * PIECE_BYTES;
            self.kept
                .copy_within(from..from + PIECE_BYTES, to * PIECE_BYTES);
        }
        self.kept.truncate(SAMPLE_BYTES / 2);
        self.stride *= 2;
    }

    /// The text, escapes resolved, and how many bytes as written it stands for.
    pub(super) fn read(&self) -> (String, u64) {
        if self.stride == 1 {
            let (text, bytes) = decode_cut(&self.kept);
            return (text, bytes as u64);
        }
        let mut sample = String::with_capacity(self.kept.len());
        let mut sampled = 0;
        for piece in self.kept.chunks(PIECE_BYTES) {
            // A piece may begin within a character.
            let lost = piece
                .iter()
                .take(3)
                .take_while(|byte| **byte & 0xc0 == 0x80)
                .count();
            let (text, bytes) = decode_cut(&piece[lost..]);
            sample.push_str(&text);
            sampled += bytes as u64;
        }
        (sample, sampled)
    }
}

/// Decodes JSON string text that may be cut inside a character or an escape; answers how much of it.
pub(super) fn decode_cut(raw: &[u8]) -> (String, usize) {
    let mut part = raw;
    for _ in 0..16 {
        if let Some(text) = json::decode(part) {
            return (text, part.len());
        }
        match part.split_last() {
            Some((_, shorter)) => part = shorter,
            None => break,
        }
    }
    (String::from_utf8_lossy(raw).into_owned(), raw.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample(text: &[u8], step: usize) -> Sample {
        let mut sample = Sample::new();
        for part in text.chunks(step) {
            sample.push(part);
            assert!(sample.kept.len() <= SAMPLE_BYTES);
            assert!(sample.kept.capacity() <= SAMPLE_BYTES);
        }
        sample
    }

    proptest! {
        #[test]
        fn a_text_that_fits_is_kept_whole(text in "[a-z 世]{0,1200}", step in 1usize..80) {
            let (kept, bytes) = sample(text.as_bytes(), step).read();
            prop_assert_eq!(bytes, text.len() as u64);
            prop_assert_eq!(kept, text);
        }

        #[test]
        fn how_it_is_cut_into_chunks_makes_no_difference(len in 0usize..100_000, step in 1usize..3_000) {
            let text: Vec<u8> = (0..len).map(|at| b'a' + (at / 100 % 26) as u8).collect();
            prop_assert_eq!(sample(&text, step).read(), sample(&text, len.max(1)).read());
        }
    }

    #[test]
    fn a_long_text_is_sampled_all_over() {
        // A third each of a, b and 界.
        let text = [
            "a".repeat(300_000),
            "b".repeat(300_000),
            "界".repeat(100_000),
        ]
        .concat();
        let found = sample(text.as_bytes(), 17);
        assert_eq!(found.passed(), 900_000);
        let (text, bytes) = found.read();
        assert!(bytes >= SAMPLE_BYTES as u64 / 2);
        for letter in ['a', 'b', '界'] {
            let share = text.matches(letter).count() * letter.len_utf8() * 100 / text.len();
            assert!((20..47).contains(&share), "{letter}: {share} %");
        }
        assert!(!text.contains('\u{fffd}'));
    }
}
