//! Features of serde_json that any crate of a build can switch on for all, and that would change what is read here.

#[test]
fn numbers_are_numbers_and_objects_are_sorted() {
    let value: serde_json::Value = serde_json::from_str(r#"{"b":1.50e3,"a":0}"#).unwrap();
    // With `arbitrary_precision` the number keeps its spelling, and arrives at a visitor as a map.
    // With `preserve_order` the members keep their order.
    assert_eq!(value.to_string(), r#"{"a":0,"b":1500.0}"#);
}
