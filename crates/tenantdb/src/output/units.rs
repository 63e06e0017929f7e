//! Sizes and ages, as people read them.

use jiff::Timestamp;

/// A number of bytes in the largest unit that it fills: `7.5 MiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut tenths = u128::from(bytes) * 10;
    let mut unit = "B";
    for larger in UNITS {
        if tenths < 10_240 {
            break;
        }
        (tenths, unit) = (tenths / 1024, larger);
    }
    if unit == "B" || tenths >= 1000 {
        return format!("{} {unit}", tenths / 10);
    }
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// How long ago something was, in the largest unit that it fills: `3 d`. The server's clock may be ahead of ours.
pub fn age(since: Timestamp) -> String {
    ago((Timestamp::now().as_second() - since.as_second()).max(0))
}

fn ago(seconds: i64) -> String {
    const UNITS: [(i64, &str); 3] = [(86_400, "d"), (3_600, "h"), (60, "min")];
    let (length, unit) = UNITS.into_iter().find(|(length, _)| seconds >= *length).unwrap_or((1, "s"));
    format!("{} {unit}", seconds / length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_told_in_the_largest_unit_that_it_fills() {
        let told = [0, 1023, 1024, 7_864_320, 104_857_600, 5 << 30].map(size);
        assert_eq!(told, ["0 B", "1023 B", "1.0 KiB", "7.5 MiB", "100 MiB", "5.0 GiB"]);
        assert_eq!(size(u64::MAX), "15.9 EiB");
    }

    #[test]
    fn an_age_is_told_in_the_largest_unit_that_it_fills() {
        assert_eq!([0, 59, 60, 7_200, 90_000].map(ago), ["0 s", "59 s", "1 min", "2 h", "1 d"]);
    }
}
