//! The paths of an `InvalidationBatch`.
//!
//! Invariant: what is read is all that the document says, or it is refused: the number of paths is the document's own
//! count, and there is nothing in it (comment, CDATA, entity of its own) that could hide one or make one up.

use super::{Mistake, json::wrong};

/// The texts of all `Path` elements, in order.
pub(super) fn paths(xml: &str) -> Result<Vec<String>, Mistake> {
    if xml.contains("<!") {
        return Err(wrong("must have no doctype, comment or CDATA"));
    }
    let quantity = between(xml, "<Quantity>", "</Quantity>");
    let Some(quantity) = quantity.filter(|_| xml.contains("<InvalidationBatch")) else {
        return Err(wrong("must be an InvalidationBatch with its Quantity"));
    };
    let mut pieces = xml.split("<Path>");
    pieces.next();
    let mut paths = Vec::new();
    for piece in pieces {
        let text = piece
            .split_once("</Path>")
            .and_then(|(text, _)| plain(text));
        match text {
            Some(text) => paths.push(text),
            None => return Err(wrong(format!("Path {}: must be a text", paths.len() + 1))),
        }
    }
    match quantity.trim().parse::<usize>() {
        Ok(count) if count == paths.len() => Ok(paths),
        _ => Err(wrong("Quantity: must be the number of Path elements")),
    }
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    rest.split_once(end).map(|(inner, _)| inner)
}

/// Text without its entities; `None` where it holds elements or an entity that XML does not know by itself.
fn plain(text: &str) -> Option<String> {
    if text.contains(['<', '>']) {
        return None;
    }
    let mut pieces = text.trim().split('&');
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (entity, rest) = piece.split_once(';')?;
        out.push(character(entity)?);
        out.push_str(rest);
    }
    Some(out)
}

fn character(entity: &str) -> Option<char> {
    match entity {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = entity.strip_prefix('#')?;
            let code = match number.strip_prefix('x') {
                Some(digits) => u32::from_str_radix(digits, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)
        }
    }
}
