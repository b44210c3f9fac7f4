//! A serde deserializer that turns the tree into the schema's types. Its errors name the place of a mistake and what
//! was probably meant.

use super::nearest::nearest;
use super::tree::{Key, Node, Place, Style, Value};
use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, IntoDeserializer as _, MapAccess, SeqAccess, Visitor};
use std::fmt::{self, Display, Write as _};

/// A mistake and the place where it was written.
#[derive(Debug)]
pub(in crate::workload) struct Fault {
    pub(in crate::workload) message: String,
    pub(in crate::workload) place: Option<Place>,
    /// An unknown key that resembles no other key of its section. The caller, which knows the whole schema, can look
    /// for it in other sections.
    pub(in crate::workload) unknown_key: Option<String>,
}

impl Fault {
    pub(in crate::workload) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), place: None, unknown_key: None }
    }

    /// Sets the place, unless a nested value has set it already.
    fn at(mut self, place: Place) -> Self {
        self.place.get_or_insert(place);
        self
    }

    /// Does the same as [`Self::at`], except that a message that begins with a key of this node in backticks points at
    /// that key.
    fn within(self, node: &Node) -> Self {
        let named = self.message.strip_prefix('`').and_then(|rest| rest.split_once('`'));
        let key = named.and_then(|(name, _)| node.keys().find(|key| key.name == name));
        let place = key.map_or(node.place, |key| key.place);
        self.at(place)
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn unknown_field(written: &str, known: &'static [&'static str]) -> Self {
        let mut message = format!("unknown key `{written}`");
        let mut unknown_key = None;
        if let Some(meant) = nearest(written, known.iter().copied()) {
            let _ = write!(message, "; did you mean `{meant}`?");
        } else {
            unknown_key = Some(written.to_owned());
            if known.len() <= 12 {
                let _ = write!(message, "; known here: {}", known.join(", "));
            }
        }
        Self { message, place: None, unknown_key }
    }

    fn unknown_variant(written: &str, known: &'static [&'static str]) -> Self {
        let mut message = format!("`{written}` is not one of {}", known.join(", "));
        if let Some(meant) = nearest(written, known.iter().copied()) {
            let _ = write!(message, "; did you mean `{meant}`?");
        }
        Self::new(message)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(format!("the key `{field}` is missing here"))
    }
}

impl Node {
    /// Decodes this node as a type of the schema.
    pub(in crate::workload) fn decode<'de, T: de::Deserialize<'de>>(&'de self) -> Result<T, Fault> {
        T::deserialize(self)
    }

    /// Returns the text of a scalar.
    fn text(&self) -> Result<&str, Fault> {
        match &self.value {
            _ if self.is_null() => Err(Fault::new("a value is missing here").at(self.place)),
            Value::Scalar { text, .. } => Ok(text),
            Value::List(_) | Value::Map(_) => {
                Err(Fault::new(format!("expected one value, found {}", self.found())).at(self.place))
            }
        }
    }

    /// Parses a whole number of type `T`; underscores between digits are allowed.
    fn whole<T: std::str::FromStr>(&self) -> Result<T, Fault> {
        let text = self.text()?;
        let digits = text.strip_prefix('-').unwrap_or(text);
        let is_number = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit() || c == '_');
        let message = match text.replace('_', "").parse() {
            Ok(value) => return Ok(value),
            Err(_) if is_number && text.starts_with('-') => {
                format!("`{text}` is negative; expected 0 or more")
            }
            Err(_) if is_number => format!("`{text}` is too large"),
            Err(_) => format!("`{text}` is not a whole number"),
        };
        Err(Fault::new(message).at(self.place))
    }
}

macro_rules! decode_whole {
    ($($method:ident: $visit:ident),+) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            visitor.$visit(self.whole()?).map_err(|fault: Fault| fault.at(self.place))
        }
    )+};
}

impl<'de> de::Deserializer<'de> for &'de Node {
    type Error = Fault;

    decode_whole!(deserialize_u8: visit_u8, deserialize_u16: visit_u16, deserialize_u32: visit_u32,
        deserialize_u64: visit_u64, deserialize_i8: visit_i8, deserialize_i16: visit_i16,
        deserialize_i32: visit_i32, deserialize_i64: visit_i64);

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let outcome = match &self.value {
            Value::List(_) => return self.deserialize_seq(visitor),
            Value::Map(_) => return self.deserialize_map(visitor),
            Value::Scalar { .. } if self.is_null() => visitor.visit_unit(),
            Value::Scalar { text, style: Style::Text } => visitor.visit_str(text),
            Value::Scalar { text, style: Style::Bare } => visit_bare(text, visitor),
        };
        outcome.map_err(|fault: Fault| fault.at(self.place))
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let text = self.text()?;
        let number =
            text.parse().map_err(|_| Fault::new(format!("`{text}` is not a number")).at(self.place))?;
        visitor.visit_f64(number)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_str(self.text()?).map_err(|fault: Fault| fault.at(self.place))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self).map_err(|fault: Fault| fault.within(self))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let variant: StrDeserializer<'_, Fault> = self.text()?.into_deserializer();
        visitor.visit_enum(variant).map_err(|fault: Fault| fault.at(self.place))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.value {
            Value::List(items) => {
                visitor.visit_seq(Items(items.iter())).map_err(|fault: Fault| fault.at(self.place))
            }
            _ => {
                Err(Fault::new(format!("expected a list like `[…]`, found {}", self.found())).at(self.place))
            }
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.value {
            Value::Map(entries) => visitor
                .visit_map(Entries { rest: entries.iter(), value: None })
                .map_err(|fault: Fault| fault.within(self)),
            _ => Err(Fault::new(format!("expected keys with values, found {}", self.found())).at(self.place)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_map(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

/// Visits a bare scalar as YAML reads it: as a number, as a boolean, or else as text. Used where any type is accepted.
fn visit_bare<'de, V: Visitor<'de>>(text: &str, visitor: V) -> Result<V::Value, Fault> {
    let digits = text.replace('_', "");
    if let Ok(number) = digits.parse() {
        visitor.visit_u64(number)
    } else if let Ok(number) = digits.parse() {
        visitor.visit_i64(number)
    } else if let Ok(number) = digits.parse() {
        visitor.visit_f64(number)
    } else if let Ok(truth) = text.parse() {
        visitor.visit_bool(truth)
    } else {
        visitor.visit_str(text)
    }
}

struct Items<'de>(std::slice::Iter<'de, Node>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        self.0.next().map(|item| seed.deserialize(item).map_err(|fault| fault.at(item.place))).transpose()
    }
}

struct Entries<'de> {
    rest: std::slice::Iter<'de, (Key, Node)>,
    value: Option<&'de Node>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some((key, value)) = self.rest.next() else { return Ok(None) };
        self.value = Some(value);
        let name: StrDeserializer<'_, Fault> = key.name.as_str().into_deserializer();
        seed.deserialize(name).map(Some).map_err(|fault| fault.at(key.place))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        let value = self.value.take().expect("serde asks for a value only after its key");
        seed.deserialize(value).map_err(|fault| fault.within(value))
    }
}
