//! Java's own form of UTF-8: characters beyond the first 65,536 are two surrogates of three bytes each,
//! and NUL is two bytes.

pub fn encode(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for unit in text.encode_utf16() {
        let low = |bits: u16| (bits & 0x3f) as u8 | 0x80;
        match unit {
            1..=0x7f => out.push(unit as u8),
            0 | 0x80..=0x7ff => out.extend([(unit >> 6) as u8 | 0xc0, low(unit)]),
            _ => out.extend([(unit >> 12) as u8 | 0xe0, low(unit >> 6), low(unit)]),
        }
    }
    out
}

/// `None` if the bytes are no such text.
pub fn decode(bytes: &[u8]) -> Option<String> {
    let mut units = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter().copied();
    while let Some(first) = rest.next() {
        let mut next = || rest.next().filter(|byte| byte & 0xc0 == 0x80).map(|byte| u16::from(byte & 0x3f));
        units.push(match first {
            0..=0x7f => u16::from(first),
            0xc0..=0xdf => u16::from(first & 0x1f) << 6 | next()?,
            0xe0..=0xef => u16::from(first & 0x0f) << 12 | next()? << 6 | next()?,
            _ => return None,
        });
    }
    String::from_utf16(&units).ok()
}
