use super::*;

#[test]
fn a_name_that_fits_is_kept_as_it_is() {
    assert_eq!(shorten("cafe", 16), "cafe");
}

#[test]
fn shortening_never_cuts_a_character_and_tells_names_apart() {
    let one = shorten(&"ü".repeat(40), 63);
    let other = shorten(&format!("{}x", "ü".repeat(40)), 63);
    assert!(one.len() <= 63 && other.len() <= 63);
    assert_ne!(one, other);
}
