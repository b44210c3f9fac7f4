//! Standard error: lines of text, and the choice between a progress bar and lines.
//!
//! A standard error that is closed or full never ends a command: what cannot be written is left out.

use crate::escape::visible_lines;
use indicatif::{ProgressBar, ProgressDrawTarget};
use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};

/// The narrowest terminal, in columns, on which a bar and its text can be read.
const BAR_COLUMNS_MIN: u16 = 60;

/// Prints text on standard error, as one line or several. Control characters are shown escaped. A failure to print is ignored.
pub fn line(text: impl Display) {
    // One write a line, so that lines of several processes are not mixed.
    let _ = std::io::stderr().write_all(format!("{}\n", visible_lines(&text.to_string())).as_bytes());
}

/// Returns a progress bar of `length` steps on standard error. `None` if standard error is no terminal, or one that is too
/// narrow or cannot move its cursor (`TERM` is unset or `dumb`): lines are printed there.
pub fn bar(length: u64) -> Option<ProgressBar> {
    let stderr = std::io::stderr();
    let columns = rustix::termios::tcgetwinsize(&stderr).map_or(0, |size| size.ws_col);
    if !stderr.is_terminal() || !is_wide(columns) {
        return None;
    }
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    (!bar.is_hidden()).then_some(bar)
}

/// Whether a bar fits into this number of columns. 0 means that the terminal does not know its width.
const fn is_wide(columns: u16) -> bool {
    columns == 0 || columns >= BAR_COLUMNS_MIN
}

#[cfg(test)]
mod tests {
    use super::is_wide;

    #[test]
    fn a_bar_needs_some_width_and_an_unknown_width_will_do() {
        assert_eq!([0, 1, 59, 60, 200].map(is_wide), [true, false, false, true, true]);
    }
}
