//! The file docs/result.schema.json is generated from the code. This test checks that it is up to date.

use std::fs;
use std::path::Path;
use vnotch::result::RunResult;

#[test]
fn the_published_schema_is_the_code_s() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/result.schema.json");
    let schema = serde_json::to_string_pretty(&schemars::schema_for!(RunResult)).unwrap() + "\n";
    if std::env::var_os("VNOTCH_BLESS").is_some() {
        fs::write(&path, &schema).unwrap();
    }
    let published = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        published == schema,
        "docs/result.schema.json is not what the code says; make it so with `VNOTCH_BLESS=1 cargo test -p vnotch --test \
         report the_published_schema`, and raise SCHEMA_VERSION if a reader of older results would stumble"
    );
}
