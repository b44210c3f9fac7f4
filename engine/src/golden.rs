//! The bytes that docs/format.md specifies. Tests compare them with the bytes that the code writes.

const FORMAT: &str = include_str!("../../docs/format.md");

/// Returns the bytes of the first `hex` block after `heading`. In the block `;` begins a comment.
pub(crate) fn documented_bytes(heading: &str) -> Vec<u8> {
    let section = FORMAT.split_once(&format!("{heading}\n")).expect("docs/format.md has the heading").1;
    let block = section.split_once("```hex\n").expect("the section has a hex block").1;
    let block = block.split_once("```").expect("the block ends").0;
    let bytes = block.lines().flat_map(|line| line.split(';').next().unwrap_or_default().split_whitespace());
    bytes.map(|byte| u8::from_str_radix(byte, 16).expect("two hex digits")).collect()
}
