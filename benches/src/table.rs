//! The one table, and how noisy the run was.

use std::time::Instant;

/// Rows as they come; printed at once (somebody is watching) and again at the end.
pub(crate) struct Table {
    rows: Vec<[String; 5]>,
    started: Instant,
    load_at_start: String,
}

/// Median, least and greatest of a few rounds.
#[derive(Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Spread {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Self {
            median: values[values.len() / 2],
            low: values[0],
            high: values[values.len() - 1],
        }
    }

    pub(crate) fn range(&self, digits: usize) -> String {
        format!("{:.digits$}–{:.digits$}", self.low, self.high)
    }
}

fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

impl Table {
    pub(crate) fn start() -> Self {
        Self {
            rows: Vec::new(),
            started: Instant::now(),
            load_at_start: load_average(),
        }
    }

    /// `bar` is what `docs/benchmarks.md` asks; empty where nothing is asked.
    pub(crate) fn row(
        &mut self,
        what: &str,
        steward: String,
        beside: String,
        ratio: String,
        bar: &str,
    ) {
        eprintln!("  {what}: {steward} | {beside} | {ratio} | {bar}");
        self.rows
            .push([what.to_owned(), steward, beside, ratio, bar.to_owned()]);
    }

    pub(crate) fn print(&self) {
        let head = [
            "figure",
            "steward",
            "beside it",
            "ratio or difference",
            "bar",
        ]
        .map(String::from);
        let rows: Vec<&[String; 5]> = std::iter::once(&head).chain(&self.rows).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
        let widths: Vec<usize> = (0..5).filter_map(width).collect();
        println!();
        for (index, row) in rows.iter().enumerate() {
            let cells: Vec<String> = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell}{}", " ".repeat(width - cell.chars().count())))
                .collect();
            println!("| {} |", cells.join(" | "));
            if index == 0 {
                let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
                println!("| {} |", rules.join(" | "));
            }
        }
        println!(
            "\nranges are min–max over rounds; load average {} at the start, {} at the end; {} processors; {:.0} s",
            self.load_at_start,
            load_average(),
            std::fs::read_to_string("/proc/cpuinfo")
                .unwrap_or_default()
                .matches("processor\t")
                .count(),
            self.started.elapsed().as_secs_f64(),
        );
    }
}
