use super::*;

#[test]
fn an_object_name_is_a_subdomain_and_so_a_safe_file_name() {
    for name in ["a", "my-app-db", "0", "a.b-c.d", &"x".repeat(253)] {
        assert_eq!(name.parse::<ObjectName>().unwrap().as_str(), name);
    }
    for name in ["", ".", "..", "a..b", "a/b", "A", "-a", "a-", "a.-b", "ä", "a b", "a\0", &"x".repeat(254)] {
        assert!(name.parse::<ObjectName>().is_err(), "{name:?}");
    }
}

#[test]
fn a_namespace_is_a_label() {
    assert_eq!(Namespace::default().as_str(), "default");
    assert!("x".repeat(63).parse::<Namespace>().is_ok());
    for name in ["", "a.b", "A", &"x".repeat(64)] {
        assert!(name.parse::<Namespace>().is_err(), "{name:?}");
    }
}

#[test]
fn an_sql_name_is_any_text_that_postgresql_keeps_whole() {
    for name in ["a", "My App", "\"quoted\"", "ö", &"ö".repeat(31)] {
        assert_eq!(name.parse::<SqlName>().unwrap().as_str(), name);
    }
    for name in ["", "a\0b", &"ö".repeat(32), &"x".repeat(64)] {
        assert!(name.parse::<SqlName>().is_err(), "{name:?}");
    }
}

#[test]
fn an_sql_name_that_is_too_long_is_refused_with_one_that_leaves_room_for_suffixes() {
    let error = "ö".repeat(32).parse::<SqlName>().unwrap_err().to_string();
    let suggestion = error.rsplit('`').nth(1).unwrap();
    assert!(error.contains("has 64 bytes") && suggestion.len() <= SqlName::SUGGESTED_BYTES, "{error}");
    assert!(suggestion.parse::<SqlName>().is_ok());
}

#[test]
fn a_setting_name_is_in_lower_case() {
    for name in ["work_mem", "pg_stat_statements.max", "_x.y1"] {
        assert!(name.parse::<SettingName>().is_ok(), "{name}");
    }
    for name in ["", "Work_mem", "a.", ".a", "1a", "a b", "a;b", &"x".repeat(64)] {
        assert!(name.parse::<SettingName>().is_err(), "{name:?}");
    }
}

#[test]
fn a_connection_limit_is_at_least_one() {
    assert_eq!(ConnectionLimit::try_from(50).unwrap().get(), 50);
    for limit in [i64::MIN, -1, 0, 1_000_001, i64::MAX] {
        assert!(ConnectionLimit::try_from(limit).is_err(), "{limit}");
    }
}
