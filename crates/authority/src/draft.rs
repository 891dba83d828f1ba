//! Writing documents: from scratch, or as the next version of one that is there, whose order of fields is kept.
//!
//! A draft is not judged here. Whoever writes one parses it, as everybody does who is handed it.

use crate::error::{DocumentError, Fault};
use crate::heading::Heading;
use std::fmt;
use std::path::Path;
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, Value};

/// A document that is being written. A field is named by its path: `order.court` is `court` in the section `[order]`.
#[derive(Clone, Debug, Default)]
pub struct Draft(DocumentMut);

impl Draft {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// One that begins as this document. `file` only names it in messages.
    ///
    /// # Errors
    /// It is no TOML.
    pub fn of(bytes: &[u8], file: &Path) -> Result<Self, DocumentError> {
        let refused = |problem: String| {
            let fault = Fault::new("document", problem, "correct it; `writ warrant check` names every fault");
            DocumentError::new(file, vec![fault])
        };
        let text = std::str::from_utf8(bytes).map_err(|error| refused(error.to_string()))?;
        Ok(Self(text.parse().map_err(|error: toml_edit::TomlError| refused(error.message().to_owned()))?))
    }

    /// Writes a text.
    pub fn text(&mut self, path: &str, text: &str) -> &mut Self {
        self.value(path, text.into())
    }

    /// Writes a whole number.
    pub fn count(&mut self, path: &str, count: u64) -> &mut Self {
        // Beyond what TOML can say is beyond what any document takes.
        self.value(path, i64::try_from(count).unwrap_or(i64::MAX).into())
    }

    /// Writes `true` or `false`.
    pub fn flag(&mut self, path: &str, flag: bool) -> &mut Self {
        self.value(path, flag.into())
    }

    /// Writes a list of texts.
    pub fn texts<Text: AsRef<str>>(&mut self, path: &str, texts: &[Text]) -> &mut Self {
        self.value(path, Value::Array(texts.iter().map(AsRef::as_ref).collect::<Array>()))
    }

    /// Writes what every document begins with.
    pub fn heading(&mut self, heading: &Heading) -> &mut Self {
        self.text("operator", &heading.operator)
            .text("probe", &heading.probe)
            .text("sign_by", &heading.sign_by.to_string())
            .count("seen.record", heading.seen.number)
            .text("seen.hash", &heading.seen.hash.to_string())
    }

    /// Adds one more `[[section]]` with what `fill` writes into it.
    pub fn add(&mut self, section: &str, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let mut inner = Self::new();
        fill(&mut inner);
        let item = self.0.entry(section).or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
        if let Some(sections) = item.as_array_of_tables_mut() {
            sections.push(inner.0.as_table().clone());
        }
        self
    }

    /// Writes a list of texts into the `[[section]]` of this number, counted from 1, if there is one.
    pub fn texts_in(&mut self, section: &str, number: usize, key: &str, texts: &[&str]) -> &mut Self {
        let sections = self.0.get_mut(section).and_then(Item::as_array_of_tables_mut);
        let table = sections.zip(number.checked_sub(1)).and_then(|(sections, place)| sections.get_mut(place));
        if let Some(table) = table {
            table.insert(key, Item::Value(Value::Array(texts.iter().copied().collect::<Array>())));
        }
        self
    }

    /// Takes the `[[section]]` of this number away, counted from 1; whether there was one.
    pub fn remove_section(&mut self, section: &str, number: usize) -> bool {
        let sections = self.0.get_mut(section).and_then(Item::as_array_of_tables_mut);
        let place = number.checked_sub(1);
        let found = sections.zip(place).filter(|(sections, place)| *place < sections.len());
        found.map(|(sections, place)| sections.remove(place)).is_some()
    }

    /// Takes a field away, if it is there.
    pub fn remove(&mut self, path: &str) -> &mut Self {
        let (table, key) = self.place(path);
        table.remove(key);
        self
    }

    fn value(&mut self, path: &str, value: Value) -> &mut Self {
        let (table, key) = self.place(path);
        table.insert(key, Item::Value(value));
        self
    }

    fn place<'a>(&mut self, path: &'a str) -> (&mut Table, &'a str) {
        let Some((section, key)) = path.split_once('.') else { return (self.0.as_table_mut(), path) };
        let item = self.0.entry(section);
        let item = item.or_insert_with(|| Item::Table(Table::new()));
        if !item.is_table() {
            *item = Item::Table(Table::new());
        }
        match item {
            Item::Table(table) => (table, key),
            // It was made one just now.
            _ => unreachable!("a section that is no table"),
        }
    }
}

/// The text of the document.
impl fmt::Display for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
