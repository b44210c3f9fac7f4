//! A swept setting and its values: their names for people, and their positions on an axis.

use crate::escape::visible;
use crate::num;
use crate::result::Point;
use crate::workload::{Bytes, Rate, TimeSpan};
use serde_json::Value;
use std::collections::BTreeMap;

/// The most characters of a value's label. Longer values, such as a list or a path, are shortened.
const LABEL_CHARS_MAX: usize = 27;

/// A setting that takes several values.
pub(in crate::report) struct Setting {
    /// Dotted key of the setting.
    pub(in crate::report) key: String,
    /// Last part of the key, if no other setting has the same one; otherwise the whole key.
    pub(in crate::report) name: String,
    /// Values in ascending order if all are numbers; `no limit` comes last. Otherwise in the order of the sweep.
    pub(in crate::report) values: Vec<SettingValue>,
}

/// One value of a setting.
pub(in crate::report) struct SettingValue {
    json: Value,
    /// Label for people: `16 MiB`.
    pub(in crate::report) label: String,
    /// Value in bytes, seconds, records per second or as a plain number; `None` for anything else.
    pub(in crate::report) number: Option<f64>,
}

/// Returns the settings of the points, by key.
pub(super) fn all(points: &[Point]) -> Vec<Setting> {
    let mut values: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for (key, value) in points.iter().flat_map(|point| &point.settings) {
        let known = values.entry(key).or_default();
        if !known.contains(&value) {
            known.push(value);
        }
    }
    let keys: Vec<&str> = values.keys().copied().collect();
    let name = |key: &str| {
        let alone = keys.iter().filter(|other| last_of(other) == last_of(key)).count() == 1;
        (if alone { last_of(key) } else { key }).to_owned()
    };
    let setting = |(key, values): (&&str, &Vec<&Value>)| Setting {
        key: (*key).to_owned(),
        name: name(key),
        values: ordered(values.iter().map(|value| SettingValue::of(key, value)).collect()),
    };
    values.iter().map(setting).collect()
}

/// Returns the last part of a dotted key.
pub(in crate::report) fn last_of(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

impl Setting {
    /// Returns the index of the value that a point has; one past the last if it has none.
    pub(super) fn index_of(&self, point: &Point) -> usize {
        let value = point.settings.get(&self.key);
        self.values.iter().position(|it| Some(&it.json) == value).unwrap_or(self.values.len())
    }

    /// Returns the numbers of all values, if all have one.
    pub(in crate::report) fn numbers(&self) -> Option<Vec<f64>> {
        self.values.iter().map(|value| value.number).collect()
    }
}

impl SettingValue {
    fn of(key: &str, json: &Value) -> Self {
        let number = number(json).filter(|_| !is_unlimited(json));
        Self { json: json.clone(), label: label(key, json), number }
    }
}

/// Tells whether this value of a limit means no limit.
fn is_unlimited(json: &Value) -> bool {
    json.is_null() || ["none", "-1"].contains(&json.to_string().trim_matches('"'))
}

fn ordered(mut values: Vec<SettingValue>) -> Vec<SettingValue> {
    let has_place = |value: &SettingValue| value.number.is_some() || is_unlimited(&value.json);
    if values.iter().all(has_place) {
        let place = |value: &SettingValue| value.number.unwrap_or(f64::INFINITY);
        values.sort_by(|a, b| place(a).total_cmp(&place(b)));
    }
    values
}

fn number(json: &Value) -> Option<f64> {
    let text = match json {
        Value::Number(number) => return number.as_f64(),
        Value::String(text) => text,
        _ => return None,
    };
    let bytes = text.parse::<Bytes>().ok().map(|bytes| num::f64_of(bytes.0));
    let seconds = || text.parse::<TimeSpan>().ok().map(|time| time.0.as_secs_f64());
    let rate = || match text.parse::<Rate>() {
        Ok(Rate::Absolute(rate)) => Some(rate.records_per_s()),
        Ok(Rate::Share(percent)) => Some(percent),
        Err(_) => None,
    };
    bytes.or_else(seconds).or_else(rate)
}

/// Formats a value as the workload has it, with a space before its unit.
pub(in crate::report) fn label(key: &str, json: &Value) -> String {
    let text = match json {
        Value::String(text) => text.clone(),
        Value::Number(number) if key.ends_with("bytes") || key.ends_with("size") => {
            number.as_u64().map_or_else(|| number.to_string(), |count| Bytes(count).to_string())
        }
        Value::Null => "none".to_owned(),
        other => other.to_string(),
    };
    if key.contains("retention") && is_unlimited(json) {
        return "no limit".to_owned();
    }
    let is_of_number = |c: char| c.is_ascii_digit() || c == '.';
    let text = match text.find(|c: char| !is_of_number(c)) {
        Some(unit) if unit > 0 && is_unit(&text[unit..]) => {
            format!("{} {}", &text[..unit], text[unit..].trim())
        }
        _ => text,
    };
    shortened(&visible(&text))
}

/// Shortens a long text in its middle, because values mostly differ at their ends.
fn shortened(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= LABEL_CHARS_MAX {
        return text.to_owned();
    }
    let (head, tail) = (&chars[..LABEL_CHARS_MAX / 3], &chars[chars.len() - LABEL_CHARS_MAX * 2 / 3..]);
    head.iter().chain(&['…']).chain(tail).collect()
}

/// Tells whether a text is only a unit: letters, a slash or a percent sign, and nothing else.
fn is_unit(text: &str) -> bool {
    text.trim().chars().all(|c| c.is_ascii_alphabetic() || c == '/' || c == '%')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_named_as_people_write_them() {
        let told = |key, json| label(key, &json);
        assert_eq!(told("log.segment_bytes", json!("16MiB")), "16 MiB");
        assert_eq!(told("log.segment_bytes", json!(16 << 20)), "16 MiB");
        assert_eq!(told("log.segment_ms", json!("1m30s")), "1m30s");
        assert_eq!(told("load.rate", json!("200k/s")), "200 k/s");
        assert_eq!(told("partitions_per_topic", json!(64)), "64");
        assert_eq!(told("log.retention_bytes", json!("none")), "no limit");
        assert_eq!(told("compression", json!("none")), "none");
        assert_eq!(told("durability", json!("synced")), "synced");
        assert_eq!(told("message_size", json!([{"size": "1KiB", "weight": 1}])).chars().count(), 28);
    }

    #[test]
    fn numbers_ascend_and_no_limit_is_above_them() {
        let values = |of: &[Value]| {
            let values =
                ordered(of.iter().map(|json| SettingValue::of("log.retention_bytes", json)).collect());
            values.into_iter().map(|value| value.label).collect::<Vec<_>>()
        };
        let sizes = [json!("none"), json!("1GiB"), json!("64MiB"), json!(1024)];
        assert_eq!(values(&sizes), ["1 KiB", "64 MiB", "1 GiB", "no limit"]);
        let words = [json!("written"), json!("synced"), json!("appended")];
        assert_eq!(values(&words), ["written", "synced", "appended"]);
    }

    #[test]
    fn sizes_times_and_rates_are_numbers() {
        let told = ["16MiB", "250ms", "200k/s", "50%", "fallocate"].map(|text| number(&json!(text)));
        assert_eq!(told, [Some(16_777_216.0), Some(0.25), Some(200_000.0), Some(50.0), None]);
    }
}
