//! Bytes as text: keys and payloads of records.

use crate::escape::visible;

/// Returns `bytes` as text, at most `bytes_max` of them. A backslash is doubled, because an escape begins with one.
pub(super) fn shown(bytes: &[u8], bytes_max: Option<usize>) -> String {
    let bytes = &bytes[..bytes_max.unwrap_or(bytes.len()).min(bytes.len())];
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(&visible(&chunk.valid().replace('\\', "\\\\")));
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_and_the_rest_is_escaped() {
        assert_eq!(shown("weir é 日本 {\"a\":1}".as_bytes(), None), "weir é 日本 {\"a\":1}");
        assert_eq!(shown(b"a\\n\nb\x1b[31m\0", None), "a\\\\n\\nb\\u{1b}[31m\\u{0}");
        assert_eq!(shown(b"\xff\xfea\xc3", None), "\\xff\\xfea\\xc3");
    }

    #[test]
    fn the_number_of_bytes_is_bounded_also_in_the_middle_of_a_character() {
        assert_eq!(shown("aé".as_bytes(), Some(2)), "a\\xc3");
        assert_eq!((shown(b"abc", Some(0)).as_str(), shown(b"abc", Some(9)).as_str()), ("", "abc"));
    }
}
