//! The files docs/*.schema.json are generated from the code. These tests check that they are up to date.

use schemars::{JsonSchema, schema_for};
use std::fs;
use std::path::Path;
use vnotch::result::RunResult;
use vnotch::result::comparison::Comparison;

fn check<T: JsonSchema>(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    let schema = serde_json::to_string_pretty(&schema_for!(T)).unwrap() + "\n";
    if std::env::var_os("VNOTCH_BLESS").is_some() {
        fs::write(&path, &schema).unwrap();
    }
    let published = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        published == schema,
        "docs/{name} is not what the code says; make it so with `VNOTCH_BLESS=1 cargo test -p vnotch --test report \
         the_published_schema`, and raise SCHEMA_VERSION if a reader of older results would stumble"
    );
}

#[test]
fn the_published_schema_is_the_code_s() {
    check::<RunResult>("result.schema.json");
}

#[test]
fn the_published_schema_of_comparisons_is_the_code_s() {
    check::<Comparison>("comparison.schema.json");
}
