//! What was measured: figures beside the reference of the same run, their ratio, and what the ratio is to be. As a
//! table for people and as JSON for programs; `document` and `plot` make the page and the picture of it.

use std::fmt::Write as _;

use serde::Serialize;

/// Everything, in the order in which it is shown.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// What it ran on: processor, kernel, how hard it tried.
    pub machine: Vec<String>,
    /// The parts of the table.
    pub sections: Vec<Section>,
}

/// Rows with the same columns.
#[derive(Debug, Default, Serialize)]
pub struct Section {
    /// The part of the bench that it is of, as `--only` names it.
    pub part: &'static str,
    /// What is shown, with its unit.
    pub title: String,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The figures.
    pub rows: Vec<Row>,
    /// What a reader has to know besides.
    pub notes: Vec<String>,
}

/// A name and its figures.
#[derive(Debug, Default, Serialize)]
pub struct Row {
    /// What was measured.
    pub name: String,
    /// One a column; none where there is none.
    pub figures: Vec<Option<f64>>,
    /// What it stands beside; none for what is a reference itself.
    pub beside: Option<Beside>,
    /// Why there are no figures.
    pub failed: Option<String>,
}

/// A row's reference.
#[derive(Debug, Serialize)]
pub struct Beside {
    /// What the reference is.
    pub reference: String,
    /// The row's figure over the reference's.
    pub ratio: f64,
    /// What the ratio is to be.
    pub target: Option<Target>,
    /// Whether it is.
    pub reached: Option<bool>,
}

/// What a ratio is to be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// No less.
    AtLeast(f64),
    /// No more.
    AtMost(f64),
}

impl Target {
    fn is_reached(self, ratio: f64) -> bool {
        match self {
            Self::AtLeast(least) => ratio >= least,
            Self::AtMost(most) => ratio <= most,
        }
    }

    /// For tables.
    pub fn words(self) -> String {
        match self {
            Self::AtLeast(least) => format!(">= {}", number(least)),
            Self::AtMost(most) => format!("<= {}", number(most)),
        }
    }
}

impl Section {
    /// Without rows yet.
    pub fn new<C: Into<String>>(
        part: &'static str,
        title: impl Into<String>,
        columns: impl IntoIterator<Item = C>,
    ) -> Self {
        let columns = columns.into_iter().map(Into::into).collect();
        Self { part, title: title.into(), columns, ..Self::default() }
    }

    /// A part, or a section of it, that could not be measured.
    pub fn failed(part: &'static str, title: impl Into<String>, why: impl Into<String>) -> Self {
        let row = Row { name: "not measured".into(), failed: Some(why.into()), ..Row::default() };
        // A column for the reason.
        Self { part, title: title.into(), columns: vec![String::new()], rows: vec![row], ..Self::default() }
    }
}

impl Row {
    /// With these figures.
    pub fn new(name: impl Into<String>, figures: impl IntoIterator<Item = Option<f64>>) -> Self {
        Self { name: name.into(), figures: figures.into_iter().collect(), ..Self::default() }
    }

    /// A row that could not be measured; the others can.
    pub fn failed(name: impl Into<String>, error: &anyhow::Error) -> Self {
        let why = format!("{error:#}");
        // What a program said that failed can be long; how it begins is enough for a table.
        let why = why.lines().next().unwrap_or_default().to_owned();
        Self { name: name.into(), failed: Some(why), ..Self::default() }
    }

    /// Beside a reference, if both were measured.
    pub fn beside(mut self, reference: impl Into<String>, ratio: Option<f64>, target: Option<Target>) -> Self {
        self.beside = ratio.filter(|ratio| ratio.is_finite()).map(|ratio| Beside {
            reference: reference.into(),
            ratio,
            target,
            reached: target.map(|target| target.is_reached(ratio)),
        });
        self
    }
}

impl Beside {
    /// Whether the target is reached, in words; empty where there is none.
    pub fn verdict(&self) -> &'static str {
        match self.reached {
            Some(true) => "reached",
            Some(false) => "NOT reached",
            None => "",
        }
    }
}

impl Report {
    /// The table.
    pub fn text(&self) -> String {
        let mut text = self.machine.join("\n");
        text.push('\n');
        for section in &self.sections {
            // Writing to a string cannot fail.
            _ = write!(text, "\n{}\n{}", section.title, section.text());
        }
        text
    }
}

impl Section {
    /// The table, without its title.
    pub fn text(&self) -> String {
        const FIGURE: usize = 11;
        let name = self.rows.iter().map(|row| row.name.chars().count()).max().unwrap_or_default().max(40) + 2;
        let widths: Vec<usize> = self.columns.iter().map(|column| column.chars().count().max(FIGURE - 2) + 2).collect();
        let has_references = self.rows.iter().any(|row| row.beside.is_some());
        let mut text = format!("{:name$}", "");
        for (column, width) in self.columns.iter().zip(&widths) {
            _ = write!(text, "{column:>width$}");
        }
        if has_references {
            _ = write!(text, "{:>9}  of", "ratio");
        }
        text.push('\n');
        for row in &self.rows {
            _ = write!(text, "  {:<width$}", row.name, width = name - 2);
            if let Some(why) = &row.failed {
                _ = write!(text, "  FAILED: {why}");
            } else {
                for (figure, width) in row.figures.iter().zip(&widths) {
                    _ = write!(text, "{:>width$}", figure.map_or("-".to_owned(), number));
                }
            }
            if let Some(beside) = &row.beside {
                _ = write!(text, "{:>9}  {}", number(beside.ratio), beside.reference);
                if let Some(target) = beside.target {
                    _ = write!(text, " [{}: {}]", target.words(), beside.verdict());
                }
            }
            text.push('\n');
        }
        for note in &self.notes {
            _ = writeln!(text, "  {note}");
        }
        text
    }
}

/// A figure with three digits that say something.
pub fn number(figure: f64) -> String {
    match figure.abs() {
        size if size >= 100.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

/// The middle of some figures; of an even number the lower of the two in the middle.
pub fn median(figures: impl IntoIterator<Item = f64>) -> Option<f64> {
    part_of(figures, 0.5)
}

/// The figure that so great a part of the figures does not exceed.
pub fn part_of(figures: impl IntoIterator<Item = f64>, part: f64) -> Option<f64> {
    let mut sorted: Vec<f64> = figures.into_iter().collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    sorted.get((last as f64 * part) as usize).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.0));
        assert_eq!(median([]), None);
        assert_eq!(part_of((0..=1000).map(f64::from), 0.999), Some(999.0));
    }

    #[test]
    fn a_row_shows_every_figure_under_its_column_and_what_it_stands_beside() {
        let mut section = Section::new("kernel", "ns", ["first", "second"]);
        let row = Row::new("a", [Some(1234.5), None]).beside("drop", Some(0.5), Some(Target::AtLeast(0.8)));
        section.rows.push(row);
        section.rows.push(Row::failed("b", &anyhow::anyhow!("no such thing")));
        let text = Report { machine: vec!["here".into()], sections: vec![section] }.text();
        let lines: Vec<&str> = text.lines().collect();
        let words: Vec<&str> = lines[4].split_whitespace().collect();
        assert_eq!(words, ["a", "1234", "-", "0.50", "drop", "[>=", "0.80:", "NOT", "reached]"]);
        let end = |line: &str, word: &str| line.find(word).map(|place| place + word.len());
        assert_eq!(end(lines[3], "first"), end(lines[4], "1234"), "{text}");
        assert!(lines[5].ends_with("FAILED: no such thing"), "{text}");
    }

    #[test]
    fn a_target_is_reached_at_its_bound() {
        let verdict = |ratio, target| Row::default().beside("", Some(ratio), Some(target)).beside.unwrap().reached;
        assert_eq!(verdict(0.8, Target::AtLeast(0.8)), Some(true));
        assert_eq!(verdict(0.79, Target::AtLeast(0.8)), Some(false));
        assert_eq!(verdict(1.31, Target::AtMost(1.3)), Some(false));
        assert!(Row::default().beside("", Some(f64::NAN), None).beside.is_none());
    }
}
