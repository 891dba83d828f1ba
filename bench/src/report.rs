//! What was measured, as a table for people and as JSON for programs.

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
#[derive(Debug, Serialize)]
pub struct Section {
    /// What is shown, with its unit.
    pub title: String,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The figures.
    pub rows: Vec<Row>,
}

/// A name and its figures, one a column; none where there is none.
#[derive(Debug, Serialize)]
pub struct Row {
    /// What was measured.
    pub name: String,
    /// By column.
    pub figures: Vec<Option<f64>>,
}

impl Section {
    /// Without rows yet.
    pub fn new(title: impl Into<String>, columns: &[String]) -> Self {
        Self { title: title.into(), columns: columns.to_vec(), rows: Vec::new() }
    }
}

impl Row {
    /// Without figures yet.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), figures: Vec::new() }
    }

    /// The figure of the next column.
    pub fn push(&mut self, figure: f64) {
        self.figures.push(Some(figure));
    }
}

impl Report {
    /// The table.
    pub fn text(&self) -> String {
        const NAME: usize = 56;
        const FIGURE: usize = 14;
        let mut text = self.machine.join("\n");
        text.push('\n');
        for section in &self.sections {
            // Writing to a string cannot fail.
            _ = write!(text, "\n{}\n{:NAME$}", section.title, "");
            for column in &section.columns {
                _ = write!(text, "{column:>FIGURE$}");
            }
            text.push('\n');
            for row in &section.rows {
                _ = write!(text, "  {:<width$}", row.name, width = NAME - 2);
                for figure in &row.figures {
                    _ = match figure {
                        None => write!(text, "{:>FIGURE$}", "-"),
                        Some(figure) if figure.abs() >= 100.0 => write!(text, "{figure:>FIGURE$.0}"),
                        Some(figure) if figure.abs() >= 10.0 => write!(text, "{figure:>FIGURE$.1}"),
                        Some(figure) => write!(text, "{figure:>FIGURE$.2}"),
                    };
                }
                text.push('\n');
            }
        }
        text
    }
}

/// The middle of some figures; of an even number the lower of the two in the middle.
pub fn median(figures: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = figures.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.0));
        assert_eq!(median([]), None);
    }

    #[test]
    fn a_row_shows_every_figure_under_its_column() {
        let mut section = Section::new("ns", &["first".to_owned(), "second".to_owned()]);
        section.rows.push(Row { name: "a".into(), figures: vec![Some(1234.5), None] });
        let text = Report { machine: vec!["here".into()], sections: vec![section] }.text();
        let last = text.lines().last().unwrap_or_default();
        assert_eq!(last.split_whitespace().collect::<Vec<_>>(), ["a", "1234", "-"]);
        assert_eq!(text.lines().nth(3).map(str::len), Some(last.len()), "{text}");
    }
}
