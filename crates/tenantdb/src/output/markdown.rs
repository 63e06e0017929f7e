//! A plan for those who review a change, as Markdown that forges show with colours.

use tenantdb_core::{Condition, Plan, Planned, Risk, Step, TenantPlan};

use super::printable;

/// Several plans, each as text already, below their summary.
pub fn plans(plans: &[String], summary: &str) -> String {
    let plans = plans.iter().filter(|plan| !plan.is_empty()).cloned();
    std::iter::once(format!("### {summary}")).chain(plans).collect::<Vec<_>>().join("\n\n")
}

/// One plan; nothing where nothing is to be told.
pub fn plan<S: Step>(plan: &Plan<S>) -> String {
    let mut parts = Vec::new();
    let server = code(plan.server.as_str());
    parts.extend(section(&format!("server {server}"), &plan.preparation));
    for tenant in &plan.tenants {
        parts.extend(section(&format!("{} on {server}", code(&tenant.claim.path())), &tenant.steps));
        parts.extend(notes(tenant));
    }
    let condition = |Condition { kind, message }: &Condition| format!("> **{kind}** on {server}: {}", escaped(message));
    parts.extend(plan.conditions.iter().map(condition));
    parts.join("\n\n")
}

/// A heading and the changes below it, in a block of a diff; nothing where nothing changes.
fn section<S: Step>(title: &str, steps: &[Planned<S>]) -> Option<String> {
    let lines: String = steps.iter().filter_map(line).collect();
    let fence = "`".repeat(longest_run(&lines).max(2) + 1);
    (!lines.is_empty()).then(|| format!("#### {title}\n\n{fence}diff\n{lines}{fence}"))
}

fn line<S: Step>(step: &Planned<S>) -> Option<String> {
    // Forges colour `!`, and not `~`.
    let sign = match step.task.sign()? {
        '~' => '!',
        sign => sign,
    };
    let risk = match step.risk {
        Risk::Safe => "",
        Risk::Disruptive => " [disruptive]",
        Risk::Destructive => " [destructive]",
    };
    Some(format!("{sign} {}  # {}{risk}\n", printable(step.task.describe()), printable(&*step.reason)))
}

fn notes<S: Step>(tenant: &TenantPlan<S>) -> Vec<String> {
    let name = code(&tenant.claim.path());
    let refusal = tenant.refusal.iter().map(|refusal| {
        let hint = refusal.hint.as_ref().map_or_else(String::new, |hint| format!(" — {}", escaped(hint)));
        format!("> **{name} is refused**: {}{hint}", escaped(&refusal.message))
    });
    let conditions = tenant.conditions.iter();
    let conditions =
        conditions.map(|condition| format!("> **{}** of {name}: {}", condition.kind, escaped(&condition.message)));
    refusal.chain(conditions).collect()
}

fn code(name: &str) -> String {
    format!("`{name}`")
}

/// A text that is nothing but a text: what a name or a comment holds makes no link, image or HTML of it.
fn escaped(text: &str) -> String {
    let marks = |c: char| "\\<>[]!*_#|@".contains(c);
    printable(text).chars().flat_map(|c| marks(c).then_some('\\').into_iter().chain([c])).collect()
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stays_a_text() {
        assert_eq!(escaped("<img> [a](b) @all"), r"\<img\> \[a\](b) \@all");
        assert_eq!(longest_run("a `b` ```c"), 3);
    }
}
