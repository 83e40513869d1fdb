//! JSON whose fields are found whatever the case of their names, as Go's decoder finds them: Docker's clients in other
//! languages write some of them small.

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Map, Value};

/// A value to be read so. What has no fixed fields, as a map of labels, keeps its names.
pub struct Folded(pub Value);

impl<'de> IntoDeserializer<'de, Error> for Folded {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Folded {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Object(map) => visit_map(map, visitor),
            Value::Array(items) => {
                let mut items = SeqDeserializer::new(items.into_iter().map(Folded));
                let value = visitor.visit_seq(&mut items)?;
                items.end().map(|()| value)
            }
            plain => plain.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let Value::Object(map) = self.0 else { return self.deserialize_any(visitor) };
        let mut known = Map::new();
        let mut others = Vec::new();
        for (name, value) in map {
            if fields.contains(&name.as_str()) {
                known.insert(name, value);
            } else {
                others.push((name, value));
            }
        }
        // The right name goes before one that is nearly right.
        for (name, value) in others {
            let meant = fields.iter().find(|field| field.eq_ignore_ascii_case(&name));
            let name = meant.filter(|field| !known.contains_key(**field)).map_or(name, |field| (*field).to_owned());
            known.insert(name, value);
        }
        visit_map(known, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

fn visit_map<'de, V: Visitor<'de>>(map: Map<String, Value>, visitor: V) -> Result<V::Value, Error> {
    let mut entries = MapDeserializer::new(map.into_iter().map(|(name, value)| (name, Folded(value))));
    let value = visitor.visit_map(&mut entries)?;
    entries.end().map(|()| value)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, rename_all = "PascalCase")]
    struct Mode {
        replicated: Option<Replicated>,
        labels: BTreeMap<String, String>,
        list: Vec<Replicated>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, rename_all = "PascalCase")]
    struct Replicated {
        replicas: Option<u64>,
        kind: Kind,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        #[default]
        One,
        Two,
    }

    fn read(json: &str) -> Result<Mode, Error> {
        Mode::deserialize(Folded(serde_json::from_str(json).unwrap()))
    }

    #[test]
    fn fields_are_found_whatever_their_case() {
        let mode =
            read(r#"{"replicated": {"REPLICAS": 5, "kind": "two"}, "Labels": {"aB": "c"}, "list": [{"Replicas": 1}]}"#);
        let mode = mode.unwrap();
        assert_eq!(mode.replicated, Some(Replicated { replicas: Some(5), kind: Kind::Two }));
        assert_eq!(mode.labels["aB"], "c");
        assert_eq!(mode.list[0].replicas, Some(1));
    }

    #[test]
    fn the_right_name_goes_first() {
        let mode = read(r#"{"replicated": {"Replicas": 1}, "Replicated": {"replicas": 2, "Replicas": 3}}"#).unwrap();
        assert_eq!(mode.replicated.and_then(|mode| mode.replicas), Some(3));
        assert!(read(r#"{"list": {}}"#).is_err());
        assert!(read("3").is_err());
    }
}
