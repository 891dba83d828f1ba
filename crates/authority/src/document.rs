//! Reading a document that people sign: from bytes to the typed fields of a warrant or a roster.
//!
//! What is signed must be what is seen. So a document is plain text without comments, without control characters and
//! without characters that are invisible or turn the reading direction. It is read field by field, not by a derived
//! deserializer, because that stops at the first fault and a person wants to hear of all of them.

use crate::digest::{Digest, NotADigest};
use crate::error::{DocumentError, Fault};
use crate::grant::Authority;
use std::ops::RangeInclusive;
use std::path::Path;
use toml::{Table, Value};
use toml_parser::lexer::TokenKind;
use uuid::Uuid;

/// Longest document that is read, in bytes: far above any order, far below what would hurt.
const LONGEST_DOCUMENT: usize = 4 << 20;
/// Longest text in one field, in characters: a public key of 8192 bits RSA, the longest there is use for, fits.
const LONGEST_TEXT: usize = 2000;
/// Longest name of a role or a compartment, in bytes.
const LONGEST_NAME: usize = 32;

/// A document whose text is fit to be signed, as one section of fields.
pub(crate) fn read(bytes: &[u8], file: &Path) -> Result<Section, DocumentError> {
    let refused = |faults| DocumentError::new(file, faults);
    let text = check_text(bytes).map_err(refused)?;
    let table = text.parse::<Table>().map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        refused(vec![Fault::new(format!("line {line}"), format!("not TOML: {}", error.message()), "correct the line")])
    })?;
    Ok(Section { path: String::new(), table })
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count()
}

fn check_text(bytes: &[u8]) -> Result<&str, Vec<Fault>> {
    if bytes.len() > LONGEST_DOCUMENT {
        let problem = format!("{} bytes long; at most {LONGEST_DOCUMENT} are read", bytes.len());
        return Err(vec![Fault::new("document", problem, "hand in the right file")]);
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let good = &bytes[..error.valid_up_to()];
        let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
        vec![Fault::new(format!("line {line}"), "not UTF-8", "save the file as UTF-8")]
    })?;
    let mut faults = Vec::new();
    for (number, line) in text.split('\n').enumerate() {
        for (column, character) in line.chars().enumerate() {
            if let Some(what) = hidden(character) {
                let problem = format!("column {}: {what} U+{:04X}", column + 1, u32::from(character));
                let remedy = match character {
                    '\r' => "save the file with Unix line ends",
                    '\t' => "use spaces",
                    _ => "remove it: what is signed must be what is seen",
                };
                faults.push(Fault::new(format!("line {}", number + 1), problem, remedy));
                break; // One a line is enough to find it.
            }
        }
    }
    for token in toml_parser::Source::new(text).lex() {
        if token.kind() == TokenKind::Comment {
            let line = line_of(text, token.span().start());
            let remedy = "remove it: a comment would be signed without meaning anything";
            faults.push(Fault::new(format!("line {line}"), "a comment (#)", remedy));
        }
    }
    if faults.is_empty() { Ok(text) } else { Err(faults) }
}

/// What a reader would not see of a character, if anything. Line feeds are checked by whoever splits lines.
fn hidden(character: char) -> Option<&'static str> {
    match character {
        c if c.is_control() => Some("control character"),
        '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            Some("character that turns the reading direction")
        }
        '\u{ad}'
        | '\u{34f}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200d}'
        | '\u{2028}'
        | '\u{2029}'
        | '\u{2060}'..='\u{2065}'
        | '\u{206a}'..='\u{206f}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}' => Some("invisible character"),
        _ => None,
    }
}

/// What is wrong with a value, and what would be right.
pub(crate) struct Wrong {
    pub(crate) problem: String,
    pub(crate) remedy: String,
}

impl Wrong {
    pub(crate) fn new(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { problem: problem.into(), remedy: remedy.into() }
    }
}

/// A table of the document, from which fields are taken one by one; [`Section::finish`] names what nobody took.
///
/// A method that gives `None` for a required field has put the fault into `faults`.
pub(crate) struct Section {
    path: String,
    table: Table,
}

impl Section {
    /// The path of one of its fields.
    pub(crate) fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Whether the field is there and not yet taken.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// A required text. `example` is shown to whoever forgot it.
    pub(crate) fn text(&mut self, key: &str, example: &str, faults: &mut Vec<Fault>) -> Option<String> {
        self.parsed(key, example, faults, |text| Ok(text.to_owned()))
    }

    /// A text that may be absent.
    pub(crate) fn text_if_any(&mut self, key: &str, example: &str, faults: &mut Vec<Fault>) -> Option<String> {
        if self.has(key) { self.text(key, example, faults) } else { None }
    }

    /// A required text that means something. Dates without quotes are taken as their text.
    pub(crate) fn parsed<T>(
        &mut self,
        key: &str,
        example: &str,
        faults: &mut Vec<Fault>,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let text = match self.table.remove(key) {
            Some(Value::String(text)) => text,
            Some(Value::Datetime(time)) => time.to_string(),
            other => {
                self.fault_of_kind(key, other, "a text", &format!("write {key} = \"{example}\""), faults);
                return None;
            }
        };
        match check_value(&text).and_then(|()| parse(&text)) {
            Ok(value) => Some(value),
            Err(wrong) => {
                faults.push(Fault::new(self.path(key), wrong.problem, wrong.remedy));
                None
            }
        }
    }

    /// A required whole number of at least 1.
    pub(crate) fn count(&mut self, key: &str, example: u32, faults: &mut Vec<Fault>) -> Option<u32> {
        let number = self.number(key, 1..=i64::from(u32::MAX), &example.to_string(), faults)?;
        u32::try_from(number).ok()
    }

    /// A required whole number within `range`, which begins at 0 or above.
    pub(crate) fn number(
        &mut self,
        key: &str,
        range: RangeInclusive<i64>,
        example: &str,
        faults: &mut Vec<Fault>,
    ) -> Option<u64> {
        let remedy = format!("write a whole number from {} on, such as {key} = {example}", range.start());
        match self.table.remove(key) {
            Some(Value::Integer(number)) if range.contains(&number) => u64::try_from(number).ok(),
            Some(Value::Integer(number)) => {
                faults.push(Fault::new(self.path(key), format!("{number} is out of range"), remedy));
                None
            }
            other => {
                self.fault_of_kind(key, other, "a whole number", &remedy, faults);
                None
            }
        }
    }

    /// A required `true` or `false`.
    pub(crate) fn flag(&mut self, key: &str, faults: &mut Vec<Fault>) -> Option<bool> {
        match self.table.remove(key) {
            Some(Value::Boolean(flag)) => Some(flag),
            other => {
                let remedy = format!("write {key} = true or {key} = false");
                self.fault_of_kind(key, other, "true or false", &remedy, faults);
                None
            }
        }
    }

    /// A required list of texts, not empty.
    pub(crate) fn texts(&mut self, key: &str, example: &str, faults: &mut Vec<Fault>) -> Option<Vec<String>> {
        let remedy = format!("write {key} = {example}");
        let list = match self.table.remove(key) {
            Some(Value::Array(list)) => list,
            other => {
                self.fault_of_kind(key, other, "a list of texts", &remedy, faults);
                return None;
            }
        };
        let before = faults.len();
        let mut texts = Vec::with_capacity(list.len());
        for (i, item) in list.into_iter().enumerate() {
            let field = format!("{}[{}]", self.path(key), i + 1);
            match item {
                Value::String(text) => match check_value(&text) {
                    Ok(()) => texts.push(text),
                    Err(wrong) => faults.push(Fault::new(field, wrong.problem, wrong.remedy)),
                },
                _ => faults.push(Fault::new(field, "not a text", remedy.clone())),
            }
        }
        if texts.is_empty() && faults.len() == before {
            faults.push(Fault::new(self.path(key), "empty", remedy));
        }
        (faults.len() == before).then_some(texts)
    }

    /// A required `[key]`.
    pub(crate) fn section(&mut self, key: &str, faults: &mut Vec<Fault>) -> Option<Section> {
        match self.table.remove(key) {
            Some(Value::Table(table)) => Some(Section { path: self.path(key), table }),
            other => {
                self.fault_of_kind(key, other, "a section", &format!("add a section [{}]", self.path(key)), faults);
                None
            }
        }
    }

    /// All `[[key]]`, numbered from 1; none is fine.
    pub(crate) fn sections_if_any(&mut self, key: &str, faults: &mut Vec<Fault>) -> Vec<Section> {
        let path = self.path(key);
        let remedy = format!("write each as a section [[{path}]]");
        match self.table.remove(key) {
            None => Vec::new(),
            Some(Value::Array(list)) => {
                let mut sections = Vec::with_capacity(list.len());
                for (i, item) in list.into_iter().enumerate() {
                    let path = format!("{path}[{}]", i + 1);
                    match item {
                        Value::Table(table) => sections.push(Section { path, table }),
                        _ => faults.push(Fault::new(path, "not a section", remedy.clone())),
                    }
                }
                sections
            }
            other => {
                self.fault_of_kind(key, other, "a list of sections", &remedy, faults);
                Vec::new()
            }
        }
    }

    /// All `[[key]]`, at least one.
    pub(crate) fn sections(&mut self, key: &str, faults: &mut Vec<Fault>) -> Vec<Section> {
        let before = faults.len();
        let sections = self.sections_if_any(key, faults);
        if sections.is_empty() && faults.len() == before {
            let path = self.path(key);
            faults.push(Fault::new(path.clone(), "missing", format!("add at least one section [[{path}]]")));
        }
        sections
    }

    /// Names every field that was not taken.
    pub(crate) fn finish(self, faults: &mut Vec<Fault>) {
        for key in self.table.keys() {
            // The key is from the document and may hold escapes: it is shown escaped.
            let field = self.path(&key.escape_default().to_string());
            faults.push(Fault::new(field, "unknown field", "remove it, or correct its name or its place"));
        }
    }

    fn fault_of_kind(&self, key: &str, found: Option<Value>, wanted: &str, remedy: &str, faults: &mut Vec<Fault>) {
        let problem = match found {
            None => "missing".to_owned(),
            Some(value) => format!("{} where {wanted} is needed", kind(&value)),
        };
        faults.push(Fault::new(self.path(key), problem, remedy));
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number with a fraction",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date or time",
        Value::Array(_) => "a list",
        Value::Table(_) => "a section",
    }
}

/// A text could still hold what the document may not, by way of TOML's escapes.
pub(crate) fn check_value(text: &str) -> Result<(), Wrong> {
    if text.trim() != text || text.is_empty() {
        return Err(Wrong::new("empty, or with space around it", "write the value without space around it"));
    }
    if let Some((character, what)) = text.chars().find_map(|c| hidden(c).map(|what| (c, what))) {
        let problem = format!("{what} U+{:04X}", u32::from(character));
        return Err(Wrong::new(problem, "remove it: what is signed must be what is seen"));
    }
    let length = text.chars().count();
    if length > LONGEST_TEXT {
        return Err(Wrong::new(format!("{length} characters long"), format!("at most {LONGEST_TEXT} are taken")));
    }
    Ok(())
}

/// A name that programs compare: `on-call`.
pub(crate) fn name(text: &str) -> Result<String, Wrong> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if text.len() <= LONGEST_NAME && text.bytes().all(plain) {
        return Ok(text.to_owned());
    }
    let problem = format!("not a name of up to {LONGEST_NAME} lower-case letters, digits and hyphens");
    Err(Wrong::new(problem, "write it like \"on-call\""))
}

/// A UUID in its one spelling, so that nobody reads two where there is one; never the nil UUID.
pub(crate) fn uuid(text: &str) -> Result<Uuid, Wrong> {
    let remedy = "write a new UUID, as uuidgen prints it";
    let uuid = Uuid::try_parse(text).map_err(|_| Wrong::new("not a UUID", remedy))?;
    if uuid.is_nil() || uuid.hyphenated().to_string() != text {
        return Err(Wrong::new("not a UUID in lower case with hyphens", remedy));
    }
    Ok(uuid)
}

/// A SHA-256 digest of what the remedy says.
pub(crate) fn digest(text: &str, remedy: &str) -> Result<Digest, Wrong> {
    text.parse().map_err(|error: NotADigest| Wrong::new(error.to_string(), remedy))
}

/// One of a list of words.
pub(crate) fn word<T: Copy>(text: &str, all: &[T], as_str: fn(T) -> &'static str) -> Result<T, Wrong> {
    all.iter().copied().find(|value| as_str(*value) == text).ok_or_else(|| {
        let words: Vec<_> = all.iter().map(|value| format!("\"{}\"", as_str(*value))).collect();
        Wrong::new("not one of the words that mean something here", format!("write one of {}", words.join(", ")))
    })
}

/// The word for an authority.
pub(crate) fn authority(text: &str) -> Result<Authority, Wrong> {
    word(text, Authority::ALL, Authority::as_str)
}

/// A date such as `2026-11-18`, nothing else.
pub(crate) fn date(text: &str) -> Result<jiff::civil::Date, Wrong> {
    let wrong = || Wrong::new("not a date", "write it as year-month-day, such as \"2026-11-18\"");
    if text.len() != "2026-11-18".len() {
        return Err(wrong());
    }
    text.parse().map_err(|_| wrong())
}
