//! The tables of fields in the reference, from the schema that the program prints.

use serde_json::Value;

/// A text with the tables of every kind as the schema has them. Each stands between `<!-- fields of KIND -->` and
/// `<!-- end -->`.
pub fn filled(page: &str, schema: &Value) -> String {
    let mut filled = String::new();
    let mut rest = page;
    while let Some((before, after)) = rest.split_once("<!-- fields of ") {
        let (kind, after) = after.split_once(" -->").expect("the comment ends");
        let (_, after) = after.split_once("<!-- end -->").expect("the table ends");
        let table = table(schema, kind);
        filled += &[before, "<!-- fields of ", kind, " -->\n\n", &table, "\n<!-- end -->"].concat();
        rest = after;
    }
    filled + rest
}

fn table(schema: &Value, kind: &str) -> String {
    let kinds = schema["allOf"].as_array().unwrap();
    let of_kind = kinds.iter().find(|rule| rule["if"]["properties"]["kind"]["const"] == kind);
    let spec = &of_kind.unwrap_or_else(|| panic!("no kind {kind}"))["then"]["properties"]["spec"];
    let mut rows = Vec::new();
    walk(schema, spec, "", &mut rows);
    format!("| field of `spec` | is | default | |\n|---|---|---|---|\n{}", rows.concat())
}

fn walk(schema: &Value, node: &Value, path: &str, rows: &mut Vec<String>) {
    let Some(fields) = resolved(schema, node)["properties"].as_object() else { return };
    for (name, field) in fields {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let shape = resolved(schema, field);
        let list = shape["type"] == "array" || shape["type"][0] == "array";
        let default = match &field["default"] {
            Value::Bool(_) | Value::Number(_) | Value::String(_) => format!("`{}`", plain(&field["default"])),
            _ => String::new(),
        };
        let described = [field, shape].into_iter().find_map(|node| node["description"].as_str()).unwrap_or_default();
        let words = described.replace('\n', " ").replace('|', "\\|") + &choices(shape);
        rows.push(format!(
            "| `{path}{}` | {} | {default} | {words} |\n",
            if list { "[]" } else { "" },
            what(schema, shape)
        ));
        let inner = if list { &shape["items"] } else { shape };
        // A name, or a mapping with a name: the mapping has the fields.
        let mapping = resolved(schema, inner)["anyOf"]
            .as_array()
            .and_then(|forms| forms.iter().find(|form| form["type"] == "object"));
        walk(schema, mapping.unwrap_or(inner), &format!("{path}{}", if list { "[]" } else { "" }), rows);
    }
}

/// What a node stands for: behind references, and beside `null`.
fn resolved<'a>(schema: &'a Value, node: &'a Value) -> &'a Value {
    if let Some(name) = node["$ref"].as_str().and_then(|path| path.strip_prefix("#/definitions/")) {
        return resolved(schema, &schema["definitions"][name]);
    }
    let parts = [&node["allOf"], &node["anyOf"]].into_iter().filter_map(Value::as_array);
    let single = parts.filter_map(|parts| match parts.as_slice() {
        [part] => Some(part),
        [part, null] if null["type"] == "null" => Some(part),
        _ => None,
    });
    single.take(1).next().map_or(node, |part| resolved(schema, part))
}

/// What may stand there, in a word.
fn what(schema: &Value, node: &Value) -> String {
    if let Some(values) = values(node) {
        return values.iter().map(|(value, _)| format!("`{value}`")).collect::<Vec<_>>().join(", ");
    }
    let types: Vec<&str> = match &node["type"] {
        Value::String(word) => vec![word],
        Value::Array(words) => words.iter().filter_map(Value::as_str).filter(|word| *word != "null").collect(),
        _ => Vec::new(),
    };
    let word = match types.as_slice() {
        ["string"] => "text",
        ["boolean"] => "`true`, `false`",
        ["integer"] => "a number",
        ["object"] => "a mapping",
        ["array"] => match what(schema, resolved(schema, &node["items"])).as_str() {
            "text" => "a list of texts",
            _ => "a list",
        },
        [] if node["anyOf"].is_array() => "text, or more",
        [] => "anything",
        _ => "text, a number, `true`, `false`",
    };
    word.to_owned()
}

/// The words that may stand there, each with what it means.
fn values(node: &Value) -> Option<Vec<(String, String)>> {
    let meaning = |value: &Value| value["description"].as_str().unwrap_or_default().replace('\n', " ");
    if let Some(words) = node["enum"].as_array() {
        return Some(words.iter().map(|word| (plain(word), String::new())).collect());
    }
    let of_each: Option<Vec<_>> = node["oneOf"]
        .as_array()?
        .iter()
        .map(|value| Some((plain(value.get("const").or_else(|| value["enum"].as_array()?.first())?), meaning(value))))
        .collect();
    of_each
}

fn choices(node: &Value) -> String {
    let told = values(node).into_iter().flatten().filter(|(_, meaning)| !meaning.is_empty());
    let words = told.map(|(value, meaning)| format!(" `{value}`: {meaning}"));
    words.collect::<Vec<_>>().concat()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
