//! Text of unknown origin, made safe to show: control characters are shown escaped.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Returns the text with each control character as an escape, such as `\n` or `\u{1b}`.
///
/// Names, tags, questions and messages come from files and from the command line. A control character among them could
/// move the cursor of a terminal, and would make a picture that no program can read. Characters that change the
/// direction of text are escaped, too, because they make it look like other text.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if is_hidden(character) {
            // Writing to a String cannot fail.
            let _ = write!(shown, "{}", character.escape_default());
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// Returns the same text, in which line breaks are kept.
pub fn visible_lines(text: &str) -> String {
    text.split('\n').map(visible).collect::<Vec<_>>().join("\n")
}

fn is_hidden(character: char) -> bool {
    let is_separator = matches!(character, '\u{2028}' | '\u{2029}');
    let is_direction =
        matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let is_no_character = matches!(character, '\u{fffe}' | '\u{ffff}');
    character.is_control() || is_separator || is_direction || is_no_character
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn control_characters_are_shown_and_other_text_stays() {
        assert_eq!(visible("a\u{1b}[31mb\r\n\0\u{7f}\u{9b}"), "a\\u{1b}[31mb\\r\\n\\u{0}\\u{7f}\\u{9b}");
        assert_eq!(visible("evil\u{202e}gnp.exe"), "evil\\u{202e}gnp.exe");
        assert!(matches!(visible("Größe 4 KiB, 90 µs – ≤ \"x\" \\ 日本"), Cow::Borrowed(_)));
        assert_eq!(visible_lines("a\tb\nc"), "a\\tb\nc");
    }

    proptest! {
        #[test]
        fn nothing_hidden_is_left_and_nothing_else_changes(text in any::<String>()) {
            let shown = visible(&text);
            prop_assert!(!shown.chars().any(is_hidden));
            prop_assert_eq!(visible(&shown), shown.as_ref());
            prop_assert!(text.chars().any(is_hidden) || shown == text);
        }
    }
}
