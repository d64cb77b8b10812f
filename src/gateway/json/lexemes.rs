//! The pieces JSON is made of, each passed over in one go: spaces, numbers, the plain runs and the escapes of strings.
//!
//! Exists apart from the walk because here every byte of a large request is looked at, mostly in blocks that the
//! compiler turns into vector instructions; the walk only decides what may come next. It keeps no state.

use super::JsonFault;

#[inline]
pub(super) fn skip_space(body: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = body.get(at) {
        at += 1;
    }
    at
}

/// Bytes of a list that are looked at together.
const NUMBERS_BYTES: usize = 64;
/// Where that leads nowhere it is tried again so many bytes later.
pub(super) const AGAIN_BYTES: usize = 512;

/// Of a list of whole numbers (token ids, mostly) as much as can be passed in blocks: the last comma passed, and how many
/// numbers come before it. `at` is where a number of the list begins. `None`: look at them one by one.
///
/// A block is compared without branches, each byte with the two after it, which compiles to vector instructions: a
/// request of 30 MB of numbers must not hold up the others of its thread.
pub(super) fn whole_numbers(body: &[u8], mut at: usize) -> Option<(usize, u64)> {
    if !matches!(body.get(at), Some(b'1'..=b'9')) {
        return None;
    }
    let (mut last, mut many) = (None, 0);
    while let Some(block) = body[at..].first_chunk::<{ NUMBERS_BYTES + 2 }>() {
        let (mut fault, mut commas) = (false, 0_u8);
        for index in 0..NUMBERS_BYTES {
            let [here, next, then] = [block[index], block[index + 1], block[index + 2]];
            let (digit, comma, space) = (here.is_ascii_digit(), here == b',', here == b' ');
            let is_next = next.is_ascii_digit();
            fault |= !(digit | comma | space);
            // After a comma a digit or a space, after a space a digit, and a space nowhere else.
            fault |= comma & !(is_next | (next == b' '));
            fault |= space & !is_next;
            fault |= digit & (next == b' ');
            // No number but 0 begins with it.
            fault |= (comma | space) & (next == b'0') & then.is_ascii_digit();
            commas += u8::from(comma);
        }
        if fault {
            break;
        }
        if commas > 0 {
            let comma = block[..NUMBERS_BYTES]
                .iter()
                .rposition(|byte| *byte == b',')?;
            last = Some(at + comma);
            many += u64::from(commas);
        }
        at += NUMBERS_BYTES;
    }
    last.map(|comma| (comma, many))
}

/// Where the number that begins at `start` ends, or where it stops being one.
#[inline]
pub(super) fn number_end(body: &[u8], start: usize) -> Result<usize, usize> {
    #[inline]
    fn digits(body: &[u8], mut at: usize) -> usize {
        while at < body.len() && body[at].is_ascii_digit() {
            at += 1;
        }
        at
    }
    #[inline]
    fn some_digits(body: &[u8], at: usize) -> Result<usize, usize> {
        match digits(body, at) {
            end if end > at => Ok(end),
            end => Err(end),
        }
    }
    let mut at = start;
    if body[at] == b'-' {
        at += 1;
    }
    at = if body.get(at) == Some(&b'0') {
        at + 1
    } else {
        some_digits(body, at)?
    };
    if body.get(at) == Some(&b'.') {
        at = some_digits(body, at + 1)?;
    }
    if let Some(b'e' | b'E') = body.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = body.get(at) {
            at += 1;
        }
        at = some_digits(body, at)?;
    }
    Ok(at)
}

/// Bytes of a string that are looked at one by one before the search goes by blocks.
pub(super) const SHORT_BYTES: usize = 32;
const BLOCK_BYTES: usize = 64;

/// ASCII that stands for itself in a string: no quote, no backslash, no control character.
pub(super) const PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0x20;
    while byte < 0x80 {
        table[byte] = byte != b'"' as usize && byte != b'\\' as usize;
        byte += 1;
    }
    table
};

/// The next quote, backslash or control character; the length when there is none. `high` is set when a byte
/// before it is not ASCII.
pub(super) fn skip_run(body: &[u8], mut at: usize, high: &mut bool) -> usize {
    let ends = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    let mut bits = 0_u8;
    let near = (at + SHORT_BYTES).min(body.len());
    while at < near && !ends(body[at]) {
        bits |= body[at];
        at += 1;
    }
    if at == near {
        // Folds without an early exit: the compiler vectorises them.
        for block in body[at..].chunks_exact(BLOCK_BYTES) {
            let stop = block.iter().fold(0, |stop, &byte| {
                stop | u8::from(byte < 0x20) | u8::from(byte == b'"') | u8::from(byte == b'\\')
            });
            if stop != 0 {
                break;
            }
            bits |= block.iter().fold(0, |bits, byte| bits | byte);
            at += BLOCK_BYTES;
        }
        while at < body.len() && !ends(body[at]) {
            bits |= body[at];
            at += 1;
        }
    }
    *high |= bits >= 0x80;
    at
}

/// Passes over the escapes that follow one another from `at` on, which is a backslash; `at` itself when the
/// bytes end within the first.
pub(super) fn escapes(body: &[u8], mut at: usize) -> Result<usize, JsonFault> {
    while let Some(b'\\') = body.get(at) {
        match body.get(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => at += 2,
            Some(b'u') => match body.get(at + 2..at + 6) {
                Some([a, b, c, d])
                    if a.is_ascii_hexdigit()
                        & b.is_ascii_hexdigit()
                        & c.is_ascii_hexdigit()
                        & d.is_ascii_hexdigit() =>
                {
                    at += 6;
                }
                None if body[at + 2..].iter().all(u8::is_ascii_hexdigit) => break,
                _ => return Err(JsonFault::Syntax(at)),
            },
            None => break,
            Some(_) => return Err(JsonFault::Syntax(at)),
        }
    }
    Ok(at)
}

/// Checks what lies between; answers up to where it is valid, which is all of it unless the bytes end within
/// a character that may still be completed.
pub(super) fn check_utf8(
    body: &[u8],
    from: usize,
    to: usize,
    ended: bool,
) -> Result<usize, JsonFault> {
    let text = &body[from..to];
    if simdutf8::basic::from_utf8(text).is_ok() {
        return Ok(to);
    }
    match std::str::from_utf8(text) {
        Ok(_) => Ok(to),
        Err(fault) if fault.error_len().is_none() && !ended && to == body.len() => {
            Ok(from + fault.valid_up_to())
        }
        Err(fault) => Err(JsonFault::NotUtf8(from + fault.valid_up_to())),
    }
}
