//! Errors of the YAML parser in the words of someone who writes a config.
//!
//! The parser says what it expected; a user wants to know what to change. Errors that hardly ever come up
//! keep the parser's own words.

use granit_parser::{ErrorKind as Kind, ScanError};
use watchbell_adapter_api::Problem;

use super::yaml::{Mark, Marked, marked};

/// `error` with its place, and with a hint where the cure is known.
pub(super) fn explain(error: &ScanError) -> Marked {
    let at = Mark { line: error.marker().line().max(1), column: error.marker().col() + 1 };
    match words(error.kind()) {
        Some((message, hint)) => marked(at, message, hint),
        None => {
            let message = format!("not YAML: {}", error.info());
            (at, Problem { path: String::new(), message, hint: None })
        }
    }
}

fn words(kind: &Kind) -> Option<(&'static str, &'static str)> {
    Some(match kind {
        Kind::TabNotAllowed | Kind::TabInBlockIndentation | Kind::TabInIndentation | Kind::TabInPlainScalar => {
            ("a tab indents this line", "indent with spaces")
        }
        Kind::UnknownAnchor => (
            "no `&` before this place gives the alias a value",
            "put a text that begins with `*` in quotes, or define the anchor before",
        ),
        Kind::DirectiveDisallowed => ("directives are not read", "remove the line that begins with `%`"),
        Kind::UnexpectedCharacter { .. } => ("a value can not begin with this character", "put the text in quotes"),
        Kind::SimpleKeyExpected
        | Kind::InvalidSimpleKey
        | Kind::ExpectedBlockMappingKey
        | Kind::InvalidIndentation
        | Kind::MappingKeyNotAllowed
        | Kind::MappingValueNotAllowed => (
            "no `key: value` is possible here",
            "look at this line and the one before: a space after each colon, keys of one level indented alike, texts \
             with `: ` in quotes",
        ),
        Kind::ExpectedBlockSequenceEntry | Kind::BlockSequenceEntryNotAllowed => {
            ("no list item is possible here", "begin each item with `- `, and indent the items of a list alike")
        }
        Kind::UnexpectedEofFlowSequence | Kind::ExpectedFlowSequenceSeparator => {
            ("a list in brackets is not complete", "put `,` between its items and close it with `]`")
        }
        Kind::UnexpectedEofFlowMapping
        | Kind::ExpectedFlowMappingSeparator
        | Kind::UnexpectedEofImplicitFlowMapping => {
            ("a mapping in braces is not complete", "put `,` between its keys and close it with `}`")
        }
        Kind::UnclosedFlowCollection { .. } => ("a bracket is not closed", "close it, or put the text in quotes"),
        Kind::MisplacedFlowCollectionEnd | Kind::MismatchedFlowCollectionEnd { .. } => {
            ("this bracket closes nothing", "remove it, or put the text in quotes")
        }
        Kind::UnclosedQuotedScalar | Kind::InvalidQuotedScalarIndent => {
            ("a quote that was opened before is not closed", "close it on its line")
        }
        Kind::InvalidTrailingSingleQuotedScalar | Kind::InvalidTrailingDoubleQuotedScalar => {
            ("something follows a closed quote", "put the whole text in one pair of quotes")
        }
        Kind::UnknownQuotedScalarEscape | Kind::InvalidQuotedScalarHexEscape => {
            ("an escape in double quotes is not known", "write `\\\\` for a backslash, or use single quotes")
        }
        Kind::RecursionLimitExceeded => ("nested too deeply", "at most 64 levels are read"),
        _ => return None,
    })
}
