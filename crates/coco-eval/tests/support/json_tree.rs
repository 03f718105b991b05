//! A reader of COCO files over a tree that `serde_json` has built: simple, slow, and as strict as the crate's.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A JSON value with every occurrence of a repeated name.
pub(crate) enum Tree {
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
    List(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Signed(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(i64::try_from(value).map_or(Tree::Unsigned(value), Tree::Signed))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element()? {
            elements.push(element);
        }
        Ok(Tree::List(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Tree::Object(fields))
    }
}

impl Tree {
    fn integer(&self) -> Option<i64> {
        if let Self::Signed(value) = self { Some(*value) } else { None }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Self::Signed(value) => Some(*value as f64),
            Self::Unsigned(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    fn size(&self) -> Option<f64> {
        self.number().filter(|&size| size >= 0.0)
    }

    fn bbox(&self) -> Option<[f64; 4]> {
        let numbers: Vec<f64> = self.list()?.iter().map(Self::number).collect::<Option<_>>()?;
        numbers.try_into().ok()
    }

    fn crowd(&self) -> Option<bool> {
        match self {
            Self::Bool(crowd) => Some(*crowd),
            Self::Signed(value) => Some(*value != 0),
            Self::Unsigned(_) => Some(true),
            _ => None,
        }
    }

    fn text(&self) -> Option<Option<String>> {
        match self {
            Self::Null => Some(None),
            Self::Text(text) => Some(Some(text.clone())),
            _ => None,
        }
    }

    fn list(&self) -> Option<&[Self]> {
        if let Self::List(list) = self { Some(list) } else { None }
    }

    /// The last value of a field, which must be there, if all its values can be read.
    fn field<T>(&self, name: &str, read: impl Fn(&Self) -> Option<T>) -> Option<T> {
        self.fields(name, read)?.pop()
    }

    fn fields<T>(&self, name: &str, read: impl Fn(&Self) -> Option<T>) -> Option<Vec<T>> {
        let Self::Object(fields) = self else { return None };
        fields.iter().filter(|(key, _)| key == name).map(|(_, value)| read(value)).collect()
    }
}

/// Integers and the bits of floats of one row.
pub(crate) type Row = (Vec<i64>, Vec<u64>);

/// Rows of a results file, or `None` for a file to be refused.
pub(crate) fn results(tree: &Tree) -> Option<Vec<Row>> {
    tree.list()?.iter().map(result).collect()
}

fn result(row: &Tree) -> Option<Row> {
    let bbox = row.field("bbox", Tree::bbox).filter(|bbox| bbox[2] >= 0.0 && bbox[3] >= 0.0)?;
    let ids = vec![row.field("image_id", Tree::integer)?, row.field("category_id", Tree::integer)?];
    let numbers = bbox.into_iter().chain([row.field("score", Tree::number)?]);
    Some((ids, numbers.map(f64::to_bits).collect()))
}

/// Names by id.
pub(crate) type Names = BTreeMap<i64, Option<String>>;

/// Images, categories and rows of an annotations file, or `None` for a file to be refused.
pub(crate) fn annotations(tree: &Tree) -> Option<(Names, Names, Vec<Row>)> {
    let rows = |list: &Tree| list.list()?.iter().map(annotation).collect::<Option<Vec<Row>>>();
    let images =
        |list: &Tree| list.list()?.iter().map(|row| named(row, "file_name")).collect::<Option<Names>>();
    let categories =
        |list: &Tree| list.list()?.iter().map(|row| named(row, "name")).collect::<Option<Names>>();
    Some((
        tree.field("images", images)?,
        tree.field("categories", categories)?,
        tree.field("annotations", rows)?,
    ))
}

fn annotation(row: &Tree) -> Option<Row> {
    let bbox = row.field("bbox", Tree::bbox).filter(|bbox| bbox[2] >= 0.0 && bbox[3] >= 0.0)?;
    row.fields("area", Tree::number)?;
    let area = row.field("area", |value| Some(value.size()))??;
    let crowd = row.field("iscrowd", Tree::crowd)?;
    let ids = ["id", "image_id", "category_id"].iter().map(|name| row.field(name, Tree::integer));
    let ids: Vec<i64> = ids.chain([Some(i64::from(crowd))]).collect::<Option<_>>()?;
    Some((ids, bbox.into_iter().chain([area]).map(f64::to_bits).collect()))
}

fn named(row: &Tree, name: &str) -> Option<(i64, Option<String>)> {
    let names = row.fields(name, Tree::text)?;
    Some((row.field("id", Tree::integer)?, names.into_iter().next_back().flatten()))
}
