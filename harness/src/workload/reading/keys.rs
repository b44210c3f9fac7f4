//! Every key of the schema, read from the types themselves, so that no separate list can become outdated.

use crate::workload::Workload;
use serde::de::{self, Deserialize as _, Deserializer, MapAccess, Visitor};
use serde::forward_to_deserialize_any;
use std::fmt;

/// Returns the dotted keys of a workload file; a section comes before its keys. For `message_size`, which has several
/// forms, and `sweep`, whose keys are these keys again, only the key itself is returned.
pub fn keys() -> Vec<String> {
    let mut keys = Vec::new();
    collect(&mut Vec::new(), &mut keys);
    keys
}

fn collect(path: &mut Vec<&'static str>, keys: &mut Vec<String>) {
    let mut fields: &[&str] = &[];
    let probe = Probe { path, fields: &mut fields };
    // Always an error, because a probe holds no values. The fields that it noted are the result.
    let _ = Workload::deserialize(probe);
    for field in fields {
        path.push(field);
        keys.push(path.join("."));
        collect(path, keys);
        path.pop();
    }
}

/// A deserializer that notes the fields of the struct at `path` and then stops.
struct Probe<'p> {
    path: &'p [&'static str],
    fields: &'p mut &'static [&'static str],
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Stop;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        let Some((first, rest)) = self.path.split_first() else {
            *self.fields = fields;
            return Err(Stop);
        };
        visitor.visit_map(Step { key: Some(first), value: Probe { path: rest, fields: self.fields } })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_some(self)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        Err(Stop)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// A map with one key: the next one of the path.
struct Step<'p> {
    key: Option<&'static str>,
    value: Probe<'p>,
}

impl<'de> MapAccess<'de> for Step<'_> {
    type Error = Stop;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Stop> {
        let key = self.key.take();
        key.map(|key| seed.deserialize(de::value::BorrowedStrDeserializer::new(key))).transpose()
    }

    fn next_value_seed<S: de::DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Stop> {
        seed.deserialize(Probe { path: self.value.path, fields: self.value.fields })
    }
}

/// The error with which a probe stops once it has noted the fields.
#[derive(Debug)]
struct Stop;

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a probe holds no values")
    }
}

impl std::error::Error for Stop {}

impl de::Error for Stop {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}
