//! URLs from a file or from stdin.
//!
//! Invariant: either every line that counts is a URL, or all those that are none are named by their numbers.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader},
    path::Path,
};

use domain::selector::ContentUrl;

use crate::{failure::Failure, words::short};

/// Room for the longest selectors that the broker takes, and for comments.
const FILE_BYTES_MAXIMUM: u64 = 16 << 20;
const STDIN: &str = "-";

/// A line of a file, counted from 1.
struct Line {
    number: usize,
    text: String,
}

/// The URLs of a file, as they were written.
pub(super) fn urls_of(file: &Path) -> Result<Vec<String>, Failure> {
    let read = || -> io::Result<Vec<Line>> {
        if file == Path::new(STDIN) {
            return lines_of(io::stdin().lock());
        }
        lines_of(File::open(file)?)
    };
    let lines = read().map_err(|source| Failure::Read {
        name: file.display().to_string(),
        source,
    })?;
    check_lines(&file.display().to_string(), lines)
}

/// Every line that is no URL is named by its number, all of them at once.
fn check_lines(name: &str, lines: Vec<Line>) -> Result<Vec<String>, Failure> {
    let mistake = |line: &Line| {
        let rule = line.text.parse::<ContentUrl>().err()?;
        Some(format!(
            "{name}:{}: `{}` {rule}",
            line.number,
            short(&line.text)
        ))
    };
    let mistakes: Vec<String> = lines.iter().filter_map(mistake).collect();
    if !mistakes.is_empty() {
        let name = name.to_owned();
        return Err(Failure::Lines { name, mistakes });
    }
    Ok(lines.into_iter().map(|line| line.text).collect())
}

fn lines_of(input: impl io::Read) -> io::Result<Vec<Line>> {
    let lines = BufReader::new(input.take(FILE_BYTES_MAXIMUM)).lines();
    let wanted = lines.zip(1..).filter_map(|(line, number)| match line {
        Ok(line) => {
            let text = line.trim().to_owned();
            (!text.is_empty() && !text.starts_with('#')).then_some(Ok(Line { number, text }))
        }
        Err(error) => Some(Err(error)),
    });
    wanted.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list of URLs may have comments and empty lines.
    #[test]
    fn a_file_gives_one_url_per_line() {
        let text: &[u8] = b"# old launch\nhttps://a/x\n\n  https://a/y  \n";
        let lines = lines_of(text).expect("can be read");
        assert_eq!(
            check_lines("mix.txt", lines).expect("are URLs"),
            ["https://a/x", "https://a/y"]
        );
    }

    /// Whoever mends a list wants all that is wrong with it, and where; a long line is known by its beginning.
    #[test]
    fn every_line_that_is_no_url_is_named() {
        let text = format!("https://a/x\nnonsense\n# no\nftp://{}\n", "a".repeat(1_000));
        let lines = lines_of(text.as_bytes()).expect("can be read");
        let Err(failure) = check_lines("mix.txt", lines) else {
            panic!("two of them are wrong");
        };
        assert_eq!(failure.to_string(), "mix.txt has 2 lines that are no URL");
        let details = failure.details();
        assert!(
            details[0].starts_with("mix.txt:2: `nonsense` must be"),
            "{details:?}"
        );
        assert!(
            details[1].starts_with("mix.txt:4: `ftp://aaa"),
            "{details:?}"
        );
        assert!(details[1].len() < 200, "{details:?}");
    }
}
