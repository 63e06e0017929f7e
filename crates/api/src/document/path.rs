//! Finds the node that a path such as `spec.access[0].level` names.

use std::ops::Range;

use super::node::{Node, Value};

/// How far a path leads.
pub(crate) struct Resolved<'a> {
    /// The nodes on the way, from the root to the last that exists.
    pub nodes: Vec<&'a Node>,
    /// Where to point at for the last of them.
    pub at: Range<usize>,
    /// The key of the last of them, if the whole path was found and it has one.
    pub key: Option<Range<usize>>,
    /// Whether the whole path was found.
    pub complete: bool,
}

impl<'a> Resolved<'a> {
    /// Follows `path` from `root` as far as it leads. Keys may hold dots and brackets themselves: of all ways to read
    /// the path, the one that leads furthest is taken.
    pub(crate) fn new(root: &'a Node, path: &str) -> Self {
        let mut way = furthest(Step { node: root, key: None, at: root.start() }, path);
        way.nodes.reverse();
        let complete = way.rest == 0;
        Self { nodes: way.nodes, at: way.last.at, key: way.last.key.filter(|_| complete), complete }
    }
}

/// One step of a path.
struct Step<'a> {
    node: &'a Node,
    key: Option<Range<usize>>,
    at: Range<usize>,
}

/// One way to read a path.
struct Way<'a> {
    /// From the last node up.
    nodes: Vec<&'a Node>,
    last: Step<'a>,
    /// How many bytes of the path are left over.
    rest: usize,
}

fn furthest<'a>(step: Step<'a>, path: &str) -> Way<'a> {
    let node = step.node;
    let ways = steps(node, path).into_iter().map(|(step, rest)| furthest(step, rest));
    let mut best = ways.min_by_key(|way| way.rest).unwrap_or(Way { nodes: Vec::new(), last: step, rest: path.len() });
    best.nodes.push(node);
    best
}

/// The children that the beginning of `path` can mean, with what is left of it.
fn steps<'a, 'p>(node: &'a Node, path: &'p str) -> Vec<(Step<'a>, &'p str)> {
    match &node.value {
        Value::Mapping(entries) => {
            let path = path.strip_prefix('.').unwrap_or(path);
            let named = entries.iter().filter(|entry| !entry.key.is_empty());
            named
                .filter_map(|entry| {
                    let rest = path.strip_prefix(entry.key.as_str())?;
                    let step = Step { node: &entry.value, key: Some(entry.key_span.clone()), at: entry.at() };
                    (rest.is_empty() || rest.starts_with(['.', '['])).then_some((step, rest))
                })
                .collect()
        }
        Value::List(items) => {
            let step = path.strip_prefix('[').and_then(|path| path.split_once(']'));
            let item = step.and_then(|(index, rest)| Some((items.get(index.parse::<usize>().ok()?)?, rest)));
            item.map(|(node, rest)| (Step { node, key: None, at: node.start() }, rest)).into_iter().collect()
        }
        _ => Vec::new(),
    }
}
