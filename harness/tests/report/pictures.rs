//! Pictures can be read: every text is inside the picture, and no two texts overlap.

use resvg::usvg::{self, Group, Node, Rect};
use std::sync::{Arc, OnceLock};

/// The part of a text's height that two texts may share: the space above and below the letters.
const SHARED: f32 = 1.0;

/// Parses a picture and checks its texts.
#[track_caller]
pub(crate) fn is_readable(svg: &str) {
    let tree = usvg::Tree::from_str(svg, options()).unwrap();
    let mut texts = Vec::new();
    collect(tree.root(), &mut texts);
    let (width, height) = (tree.size().width(), tree.size().height());
    for (text, place) in &texts {
        let is_inside =
            place.left() >= 0.0 && place.top() >= 0.0 && place.right() <= width && place.bottom() <= height;
        assert!(is_inside, "`{text}` at {place:?} leaves the picture of {width} × {height}");
    }
    for (index, (text, place)) in texts.iter().enumerate() {
        for (other, its) in &texts[index + 1..] {
            let is_beside = place.right() <= its.left() || its.right() <= place.left();
            let is_above = place.bottom() - SHARED <= its.top() || its.bottom() - SHARED <= place.top();
            assert!(is_beside || is_above, "`{text}` at {place:?} and `{other}` at {its:?} overlap");
        }
    }
}

fn options() -> &'static usvg::Options<'static> {
    static OPTIONS: OnceLock<usvg::Options<'static>> = OnceLock::new();
    OPTIONS.get_or_init(|| {
        let mut fonts = usvg::fontdb::Database::new();
        fonts.load_font_data(dejavu::sans::regular().to_vec());
        usvg::Options {
            fontdb: Arc::new(fonts),
            font_family: "DejaVu Sans".into(),
            ..usvg::Options::default()
        }
    })
}

fn collect(group: &Group, texts: &mut Vec<(String, Rect)>) {
    for node in group.children() {
        match node {
            Node::Group(group) => collect(group, texts),
            Node::Text(text) => {
                let words = text.chunks().iter().map(|chunk| chunk.text()).collect::<String>();
                texts.push((words.trim().to_owned(), text.abs_bounding_box()));
            }
            Node::Path(_) | Node::Image(_) => {}
        }
    }
}

#[test]
#[should_panic(expected = "overlap")]
fn texts_that_overlap_are_found() {
    let text = |y: u32, text: &str| {
        format!("<text x='5' y='{y}' font-family='DejaVu Sans' font-size='12'>{text}</text>")
    };
    let head = "<svg xmlns='http://www.w3.org/2000/svg' width='100' height='100'>";
    is_readable(&format!("{head}{}{}</svg>", text(30, "one"), text(60, "two")));
    is_readable(&format!("{head}{}{}</svg>", text(30, "one"), text(34, "two")));
}
