//! From any JSON Schema to a structural one: what the API server of Kubernetes can prune, default and explain
//! (Kubernetes documentation, "Specifying a structural schema").

use serde_json::{Map, Value, json};

/// What stands for a value of several types: the API server takes any, and whoever decodes it refuses the rest.
const ANYTHING: &str = "x-kubernetes-preserve-unknown-fields";

/// The formats of numbers that the API server knows.
const FORMATS: [&str; 4] = ["int32", "int64", "date-time", "double"];

/// The same schema without what a structural one can't say.
pub(super) fn structural(schema: Value) -> Value {
    match schema {
        Value::Object(node) => Value::Object(object(node)),
        _ => json!({ANYTHING: true}),
    }
}

fn object(mut node: Map<String, Value>) -> Map<String, Value> {
    // What one of several says may again be one of several.
    while let Some(Value::Array(branches)) =
        ["allOf", "anyOf", "oneOf"].iter().find_map(|several| node.remove(*several))
    {
        node = combine(node, branches);
    }
    if let Some(Value::Array(types)) = node.get("type") {
        let mut types = types.iter().filter(|one| *one != "null").cloned();
        let (only, another) = (types.next(), types.next());
        node.remove("type");
        match only.filter(|_| another.is_none()) {
            Some(only) => node.insert("type".to_owned(), only),
            None => node.insert(ANYTHING.to_owned(), true.into()),
        };
    }
    if let Some(value) = node.remove("const") {
        node.insert("enum".to_owned(), json!([value]));
    }
    node.retain(|key, value| match key.as_str() {
        "$schema" | "title" => false,
        "format" => FORMATS.iter().any(|known| value == known),
        _ => true,
    });
    if let Some(Value::String(description)) = node.get_mut("description") {
        *description = paragraphs(description);
    }
    if !node.contains_key("type") {
        node.insert(ANYTHING.to_owned(), true.into());
    }
    children(&mut node);
    default(&mut node);
    node
}

/// One of several, of which one only says that nothing may be there, is that one; words to choose from are an `enum`.
fn combine(node: Map<String, Value>, branches: Vec<Value>) -> Map<String, Value> {
    let mut branches: Vec<Map<String, Value>> = branches
        .into_iter()
        .filter_map(|branch| if let Value::Object(branch) = branch { Some(branch) } else { None })
        .filter(|branch| branch.get("type").is_none_or(|kind| kind != "null"))
        .collect();
    if branches.len() == 1 {
        let mut only = branches.remove(0);
        only.extend(node);
        return only;
    }
    let words: Option<Vec<(Value, Option<&str>)>> = branches
        .iter()
        .map(|branch| Some((branch.get("const")?.clone(), branch.get("description").and_then(Value::as_str))))
        .collect();
    let mut node = node;
    if let Some(words) = words {
        let told: Vec<String> =
            words.iter().filter_map(|(word, told)| Some(format!("{}: {}", word.as_str()?, (*told)?))).collect();
        let own = node.get("description").and_then(Value::as_str).unwrap_or_default();
        let description = std::iter::once(own.to_owned()).chain(told).collect::<Vec<_>>().join("\n\n");
        node.insert("description".to_owned(), description.into());
        node.insert("type".to_owned(), "string".into());
        node.insert("enum".to_owned(), words.into_iter().map(|(word, _)| word).collect());
    } else {
        node.insert(ANYTHING.to_owned(), true.into());
    }
    node
}

fn children(node: &mut Map<String, Value>) {
    if let Some(Value::Object(properties)) = node.get_mut("properties") {
        for (_, property) in properties.iter_mut() {
            *property = structural(property.take());
        }
    }
    if let Some(items) = node.get_mut("items") {
        *items = structural(items.take());
    }
    let patterns = node.remove("patternProperties").and_then(|patterns| match patterns {
        Value::Object(patterns) => patterns.into_iter().next().map(|(_, values)| values),
        _ => None,
    });
    node.remove("propertyNames");
    let values = node.remove("additionalProperties").filter(|values| *values != Value::Bool(false)).or(patterns);
    if let Some(values) = values {
        node.insert("additionalProperties".to_owned(), structural(values));
    }
}

/// A default that says nothing is left out.
fn default(node: &mut Map<String, Value>) {
    if let Some(default) = node.remove("default").and_then(telling) {
        node.insert("default".to_owned(), default);
    }
}

/// What a default says, without what it leaves open.
fn telling(default: Value) -> Option<Value> {
    match default {
        Value::Null => None,
        Value::Array(items) if items.is_empty() => None,
        Value::Object(fields) => {
            let fields = fields.into_iter().filter_map(|(field, value)| Some((field, telling(value)?)));
            let fields: Map<String, Value> = fields.collect();
            (!fields.is_empty()).then_some(Value::Object(fields))
        }
        default => Some(default),
    }
}

/// Lines that were broken for the source are joined; a blank one parts paragraphs.
fn paragraphs(text: &str) -> String {
    let paragraphs = text.split("\n\n").map(|paragraph| paragraph.split('\n').collect::<Vec<_>>().join(" "));
    // A link in the source's documentation leads nowhere here.
    paragraphs.collect::<Vec<_>>().join("\n\n").replace("[`", "`").replace("`]", "`")
}
