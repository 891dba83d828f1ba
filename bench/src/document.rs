//! The figures as a part of a page: Markdown between two marks of docs/performance.md. The rest of the page is written by
//! hand and stays.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::plot;
use crate::report::{Report, Row, Section, number};

const BEGIN: &str = "<!-- figures: begin; written by `cargo xtask bench --write-docs` -->";
const END: &str = "<!-- figures: end -->";

/// Puts the figures into a page, and the picture of them beside it, under the page's name.
pub fn write(page: &Path, report: &Report) -> Result<()> {
    let text = fs::read_to_string(page).with_context(|| page.display().to_string())?;
    let picture = page.with_extension("svg");
    let svg = plot::svg(report);
    let mut figures = String::new();
    if let (Some(svg), Some(name)) = (&svg, picture.file_name().and_then(|name| name.to_str())) {
        fs::write(&picture, svg).with_context(|| picture.display().to_string())?;
        _ = writeln!(figures, "![The figures below, drawn]({name})\n");
    }
    figures.push_str(&markdown(report));
    let text = replace(&text, &figures).with_context(|| {
        format!("{}: has no lines \"{BEGIN}\" and \"{END}\" for the figures to stand between", page.display())
    })?;
    fs::write(page, text).with_context(|| page.display().to_string())
}

/// What stands between the marks, replaced. None: there are no marks.
fn replace(page: &str, figures: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", figures.trim()))
}

/// All tables.
fn markdown(report: &Report) -> String {
    let mut text = report.machine.iter().map(|line| format!("{line}.  \n")).collect::<String>();
    for section in &report.sections {
        text.push_str(&table(section));
    }
    text
}

fn table(section: &Section) -> String {
    let has_references = section.rows.iter().any(|row| row.beside.is_some());
    let mut headings = "| |".to_owned();
    let mut rule = "|---|".to_owned();
    for column in &section.columns {
        _ = write!(headings, " {} |", cell(column));
        rule.push_str("--:|");
    }
    if has_references {
        headings.push_str(" ratio | to | target | |");
        rule.push_str("--:|---|---|---|");
    }
    let mut text = format!("\n### {}\n\n{headings}\n{rule}\n", section.title);
    for row in &section.rows {
        _ = writeln!(text, "{}", line(row, has_references));
    }
    for note in &section.notes {
        _ = writeln!(text, "\n{note}");
    }
    text
}

fn line(row: &Row, has_references: bool) -> String {
    let mut line = format!("| {} |", cell(&row.name));
    if let Some(why) = &row.failed {
        _ = write!(line, " not measured: {} |", cell(why));
        return line;
    }
    for figure in &row.figures {
        _ = write!(line, " {} |", figure.map_or_else(String::new, number));
    }
    match &row.beside {
        Some(beside) => {
            let target = beside.target.map_or_else(String::new, |target| target.words());
            let (ratio, verdict) = (number(beside.ratio), beside.verdict());
            let verdict = if beside.reached == Some(false) { format!("**{verdict}**") } else { verdict.to_owned() };
            _ = write!(line, " {ratio} | {} | {} | {verdict} |", cell(&beside.reference), cell(&target));
        }
        None if has_references => line.push_str(" | | | |"),
        None => {}
    }
    line
}

/// What a cell cannot hold, written otherwise.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace('>', "&gt;").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Target;

    fn report() -> Report {
        let mut section = Section::new("inline", "The whole way", ["of XDP_DROP", "M frames/s"]);
        section.rows.push(Row::new("reference", [Some(1.0), Some(25.5)]));
        let row = Row::new("Writ", [Some(0.45), Some(11.2)]);
        section.rows.push(row.beside("XDP_DROP", Some(0.45), Some(Target::AtLeast(0.8))));
        section.rows.push(Row::failed("pktgen", &anyhow::anyhow!("no | there")));
        let mut plain = Section::new("growth", "Loading", ["s"]);
        plain.rows.push(Row::new("10000 targets", [Some(1.5)]));
        let failed = Section::failed("encode", "Encoding", "nothing there");
        Report { machine: vec!["a machine".into()], sections: vec![section, plain, failed] }
    }

    #[test]
    fn every_row_has_as_many_cells_as_its_heading() {
        let text = markdown(&report());
        let cells = |line: &str| line.replace("\\|", "").matches('|').count();
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(rows.len(), 5 + 3 + 3, "{text}");
        for table in [&rows[5..8], &rows[8..]] {
            assert!(table.iter().all(|row| cells(row) == cells(table[0])), "{text}");
        }
        assert!(rows[..4].iter().all(|row| cells(row) == cells(rows[0])), "{text}");
        assert!(rows[3].contains("| 0.45 | XDP_DROP | &gt;= 0.80 | **NOT reached** |"), "{text}");
        assert!(rows[4].contains("not measured: no \\| there"), "{text}");
    }

    #[test]
    fn prose_around_the_figures_stays_and_old_figures_go() {
        let page = format!("# Page\n\n{BEGIN}\nold\n{END}\n\nprose\n");
        let once = replace(&page, "new").unwrap();
        assert_eq!(once, format!("# Page\n\n{BEGIN}\n\nnew\n\n{END}\n\nprose\n"));
        assert_eq!(replace(&once, "new").unwrap(), once);
        assert_eq!(replace("# Page\n", "new"), None);
    }

    #[test]
    fn a_page_gets_figures_and_their_picture() {
        let directory = tempfile::tempdir().unwrap();
        let page = directory.path().join("performance.md");
        fs::write(&page, format!("{BEGIN}\n{END}\n")).unwrap();
        write(&page, &report()).unwrap();
        let text = fs::read_to_string(&page).unwrap();
        assert!(text.contains("(performance.svg)") && text.contains("### The whole way"), "{text}");
        let svg = fs::read_to_string(directory.path().join("performance.svg")).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("Writ"), "{svg}");
    }
}
