//! *pure* `show schema json`: what `show info json` and `show stat json` look like, as JSON schema
//! (draft 4).

use serde_json::{Value, json};

/// The schema, in one line.
#[must_use]
pub fn render() -> String {
    json!({
        "$schema": "http://json-schema.org/draft-04/schema#",
        "oneOf": [
            {
                "title": "Info",
                "type": "array",
                "items": object(value_members()),
            },
            {
                "title": "Stat",
                "type": "array",
                "items": { "type": "array", "items": object(stat_members()) },
            },
        ],
        "definitions": {
            "field": object(vec![("pos", number(0)), ("name", json!({ "type": "string" }))]),
            "processNum": number(1),
            "tags": object(vec![
                ("origin", words(&["Metric", "Status", "Key", "Config", "Product", "Unknown"])),
                ("nature", words(&NATURES)),
                ("scope", words(&["Cluster", "Process", "Service", "System", "Unknown"])),
            ]),
            "typedValue": { "oneOf": [
                typed(&["str"], json!({ "type": "string" })),
                typed(&["u32", "u64"], number(0)),
                typed(&["s32", "s64"], json!({ "type": "integer" })),
                typed(&["flt"], json!({ "type": "number" })),
            ] },
        },
    })
    .to_string()
}

const NATURES: [&str; 13] = [
    "Gauge", "Limit", "Min", "Max", "Rate", "Counter", "Duration", "Age", "Time", "Name", "Output",
    "Avg", "Unknown",
];

/// What every value has.
fn value_members() -> Vec<(&'static str, Value)> {
    let defined = |name: &str| json!({ "$ref": format!("#/definitions/{name}") });
    vec![
        ("field", defined("field")),
        ("processNum", defined("processNum")),
        ("tags", defined("tags")),
        ("value", defined("typedValue")),
    ]
}

/// What a value has that belongs to a row.
fn stat_members() -> Vec<(&'static str, Value)> {
    let kinds = words(&["Frontend", "Backend", "Listener", "Server", "Unknown"]);
    let mut members = vec![
        ("objType", kinds),
        ("proxyId", number(0)),
        ("id", number(0)),
    ];
    members.extend(value_members());
    members
}

/// An object that has these members, all of them.
fn object(members: Vec<(&str, Value)>) -> Value {
    let required: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
    let required = json!(required);
    let properties: serde_json::Map<String, Value> = members
        .into_iter()
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

fn typed(kinds: &[&str], value: Value) -> Value {
    object(vec![("type", words(kinds)), ("value", value)])
}

fn words(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}

fn number(least: u32) -> Value {
    json!({ "type": "integer", "minimum": least })
}
