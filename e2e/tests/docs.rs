//! The documentation names only tests and files that are there.

use std::fs;
use std::path::{Path, PathBuf};

use folio_e2e::Result;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources(folder: &Path, all: &mut String) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("target") {
            // A test of several files is named by its folder.
            all.push_str(&path.file_name().unwrap_or_default().to_string_lossy());
            sources(&path, all)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            // A file is named by its name, a module or test by its own.
            all.push_str(&path.file_stem().unwrap_or_default().to_string_lossy());
            all.push_str(&fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

/// What stands between backticks.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

#[test]
fn every_guarantee_points_to_tests_that_exist() -> Result<()> {
    let design = fs::read_to_string(repository().join("docs/design.md"))?;
    let table = design.split("### Tests that hold them").nth(1).and_then(|rest| rest.split("\n## ").next()).ok_or("no table")?;
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| ")).skip(2).collect();
    assert_eq!(rows.len(), 14, "one row for each guarantee");
    let mut all = String::new();
    for folder in ["crates", "e2e"] {
        sources(&repository().join(folder), &mut all)?;
    }
    for (index, row) in rows.iter().enumerate() {
        assert!(row.starts_with(&format!("| {} |", index + 1)), "{row}");
        assert!(quoted(row).count() > 0, "{row}");
        for name in quoted(row) {
            // `a::{b, c}` and `a::*` name several; every word of them is looked for.
            let words = name.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.len() > 2);
            let is_path = name.contains('/');
            if is_path && name.ends_with(".rs") {
                assert!(repository().join(name).exists(), "{name} in guarantee {}", index + 1);
                continue;
            }
            for word in words.filter(|_| !is_path && !name.contains('-')) {
                assert!(all.contains(word), "{word} of {name} in guarantee {}", index + 1);
            }
        }
    }
    Ok(())
}

#[test]
fn links_between_pages_lead_somewhere() -> Result<()> {
    for page in ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/README.md", "docs/design.md", "docs/performance.md"] {
        let text = fs::read_to_string(repository().join(page))?;
        let folder = repository().join(page).parent().map(Path::to_owned).ok_or("no folder")?;
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if !link.contains("://") {
                let (file, heading) = link.split_once('#').unwrap_or((link, ""));
                let target = if file.is_empty() { repository().join(page) } else { folder.join(file) };
                assert!(target.exists(), "{page} links to {link}");
                let headings = fs::read_to_string(&target)?.to_lowercase().replace(' ', "-");
                assert!(heading.is_empty() || headings.contains(&format!("#-{heading}\n")), "{page} links to {link}");
            }
        }
    }
    Ok(())
}
