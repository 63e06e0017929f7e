use super::*;

#[test]
fn a_name_that_fits_is_kept_as_it_is() {
    assert_eq!(check_owner(&"x".repeat(60)).unwrap().as_str(), "x".repeat(60));
    assert_eq!(check_database(&"x".repeat(63)).unwrap().as_str(), "x".repeat(63));
}

#[test]
fn a_name_too_long_for_its_suffix_is_refused_with_one_that_fits() {
    let error = check_owner(&"x".repeat(61)).unwrap_err().to_string();
    assert!(error.contains("64 bytes with the suffix `_rw`"), "{error}");
    let suggestion = error.rsplit('`').nth(1).unwrap();
    assert!(check_owner(suggestion).is_ok(), "{suggestion}");
    let error = check_database(&"x".repeat(64)).unwrap_err().to_string();
    assert!(check_owner(error.rsplit('`').nth(1).unwrap()).is_ok(), "{error}");
}

#[test]
fn every_suffix_takes_part_in_collisions() {
    let names = TenantNames { database: "shop".parse().unwrap(), owner: "shop".parse().unwrap() };
    assert_eq!(names.roles(), ["shop", "shop_a", "shop_b", "shop_c", "shop_ro", "shop_rw"]);
}

#[test]
fn a_value_that_looks_like_a_placeholder_is_not_filled_in() {
    let values = BTreeMap::from([("database", "{name}"), ("name", "{namespace}"), ("namespace", "team")]);
    assert_eq!(expand("{database}_{name}_{namespace}", &values), "{name}_{namespace}_team");
    assert_eq!(expand("{owner} {", &values), "{owner} {");
}
