//! What is cited is in the repository: files, sections of documents, decisions, and the numbered
//! differences from the original WaTTS.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

use super::files::{self, Comment, File};

/// Names of files that are read by people and compilers. Others are made by the daemon or by its
/// users.
const CITED: &str = r"md|rs|wit|py|mjs|txt|toml";
/// Names that stand for a kind of file.
const KINDS: [&str; 6] =
    ["Cargo.toml", "credsmith.toml", "lib.rs", "main.rs", "mod.rs", "src/main.rs"];

static FILE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(&format!(r"(?:^|[`( ])((?:[\w.@-]+/)*[\w.-]+\.(?:{CITED}))\b")).unwrap()
});
static SECTIONS: LazyLock<Regex> = LazyLock::new(|| {
    let number = r"\d+(?:\.\d+)*";
    Regex::new(&format!(r"`([\w./-]+\.md)`,? sections? ({number}(?:(?:,| and| to) {number})*)"))
        .unwrap()
});
static TITLE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"`([\w./-]+\.md)`, "([^"]+)""#).unwrap());
static DECISION: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b[Dd]ecisions? (\d{4})\b").unwrap());
static DIFFERENCE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\bD(\d{1,2})\b").unwrap());
static NUMBER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\d+(?:\.\d+)*").unwrap());
static PATH: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"`((?:\.ci|config|daemon|plugin-sdk|plugins|tests)/[\w./-]*)`").unwrap()
});
static LINK: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\]\(([^)#:]+)(?:#[^)]*)?\)").unwrap());

fn commented() -> impl Iterator<Item = (File, Vec<Comment>)> {
    files::with_extension(&["rs", "wit", "toml"]).into_iter().map(|file| {
        let marker =
            if file.path.extension().is_some_and(|kind| kind == "toml") { "#" } else { "//" };
        let comments = files::comments(&file.text, marker);
        (file, comments)
    })
}

/// What `faults` says of each comment, with its place.
fn faults_of_comments(faults: impl Fn(&File, &str) -> Vec<String>) -> Vec<String> {
    let mut found = Vec::new();
    for (file, comments) in commented() {
        for comment in comments {
            let place = format!("{}:{}", file.path.display(), comment.line);
            found.extend(
                faults(&file, &comment.text).into_iter().map(|fault| format!("{place}: {fault}")),
            );
        }
    }
    found
}

/// Whether a comment in `file` may name `cited`: from the root, or from a directory around the
/// file.
fn is_there(file: &Path, cited: &str) -> bool {
    let root = files::root();
    file.ancestors().skip(1).any(|directory| root.join(directory).join(cited).is_file())
}

/// The headings of a document.
fn headings(document: &str) -> Vec<String> {
    let text = std::fs::read_to_string(files::root().join(document)).unwrap_or_default();
    let heading =
        |line: &str| line.starts_with('#').then(|| line.trim_start_matches('#').trim().to_owned());
    text.lines().filter_map(heading).collect()
}

fn has_section(document: &str, number: &str) -> bool {
    let begins = |heading: &String| {
        heading.split(' ').next().is_some_and(|word| word.trim_end_matches('.') == number)
    };
    headings(document).iter().any(begins)
}

/// The numbers of the rows in the document's tables: `D11`, or several and ranges in one row.
fn differences(document: &str) -> BTreeSet<u32> {
    let mut numbers = BTreeSet::new();
    for line in document.lines().filter(|line| line.starts_with("| D")) {
        let cell = line.trim_start_matches("| ").split(" |").next().unwrap();
        for part in cell.split(", ") {
            let ends: Vec<u32> = DIFFERENCE
                .captures_iter(part)
                .map(|found| found.get(1).unwrap().as_str().parse().unwrap())
                .collect();
            if let (Some(first), Some(last)) = (ends.first(), ends.last()) {
                numbers.extend(*first..=*last);
            }
        }
    }
    numbers
}

#[test]
fn files_that_comments_name_are_there() {
    let faults = faults_of_comments(|file, comment| {
        let names = FILE.captures_iter(comment).map(|found| found.get(1).unwrap().as_str());
        let missing = names.filter(|name| !KINDS.contains(name) && !is_there(&file.path, name));
        missing.map(|name| format!("there is no {name}")).collect()
    });
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn sections_that_comments_name_are_there() {
    let faults = faults_of_comments(|_, comment| {
        let by_number = SECTIONS.captures_iter(comment).flat_map(|found| {
            let document = found.get(1).unwrap().as_str();
            let numbers = NUMBER.find_iter(found.get(2).unwrap().as_str());
            let missing = numbers.filter(|number| !has_section(document, number.as_str()));
            missing
                .map(|number| format!("{document} has no section {}", number.as_str()))
                .collect::<Vec<_>>()
        });
        let by_title = TITLE.captures_iter(comment).filter_map(|found| {
            let (document, title) =
                (found.get(1).unwrap().as_str(), found.get(2).unwrap().as_str());
            let missing = !headings(document).iter().any(|heading| heading == title);
            missing.then(|| format!("{document} has no section {title:?}"))
        });
        by_number.chain(by_title).collect()
    });
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn differences_and_decisions_that_are_named_are_described() {
    let described = differences(
        &std::fs::read_to_string(files::root().join("daemon/dialects/watts.md")).unwrap(),
    );
    assert!(described.len() > 40, "{described:?}");
    let decisions: BTreeSet<String> = std::fs::read_dir(files::root().join("daemon/decisions"))
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.get(..4).map(str::to_owned))
        .collect();
    let mut faults = Vec::new();
    for file in files::with_extension(&["rs", "md", "wit", "toml"]) {
        for (index, line) in file.text.lines().enumerate() {
            let place = format!("{}:{}", file.path.display(), index + 1);
            for found in DIFFERENCE.captures_iter(line) {
                if !described.contains(&found.get(1).unwrap().as_str().parse().unwrap()) {
                    faults.push(format!(
                        "{place}: {} is not described",
                        found.get(0).unwrap().as_str()
                    ));
                }
            }
            for found in DECISION.captures_iter(line) {
                if !decisions.contains(found.get(1).unwrap().as_str()) {
                    faults.push(format!("{place}: there is no {}", found.get(0).unwrap().as_str()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn links_and_paths_of_documents_lead_somewhere() {
    let root = files::root();
    let mut faults = Vec::new();
    for file in files::with_extension(&["md"]) {
        let directory = root.join(file.path.parent().unwrap());
        for (pattern, base) in [(&LINK, &directory), (&PATH, &root)] {
            let targets = pattern.captures_iter(&file.text).map(|found| found.get(1).unwrap());
            let missing = targets.filter(|target| !base.join(target.as_str()).exists());
            faults.extend(
                missing.map(|target| format!("{}: {}", file.path.display(), target.as_str())),
            );
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn a_row_describes_one_number_several_or_a_range() {
    let table = "| D1 to D3 | x |\n| D5, D7 to D8 | D9 |\nD9\n";
    assert_eq!(differences(table), [1, 2, 3, 5, 7, 8].into());
}
