//! Rule sets for tests, written short. Words may be one symbol long, as the tables of the rule have them.
#![allow(dead_code)] // each test binary uses its own part
pub mod cases;
pub mod oracle;

use std::sync::Arc;

use dragoman_engine::rules::{
    Action, Direction, Edges, Granularity, Limits, RuleSet, RuleSetSource, RuleSource, Text,
};

pub const LIMITS: Limits =
    Limits { rules_max: 1000, words_max: 200_000, word_symbols_min: 1, hold_max: 2304, lane_max: 2304 };

#[derive(Debug, Clone)]
pub struct Rule {
    pub id: String,
    pub words: Vec<String>,
    pub action: Action,
    pub edges: Edges,
    /// Ids, or the words of the rules meant.
    pub exempts: Vec<String>,
    pub placeholder: String,
}

impl Rule {
    pub fn new(action: Action, word: &str) -> Self {
        Self {
            id: format!("{} {word}", format!("{action:?}").to_lowercase()),
            words: vec![word.to_owned()],
            action,
            edges: Edges::default(),
            exempts: Vec::new(),
            placeholder: "▮".to_owned(),
        }
    }

    pub fn left(mut self) -> Self {
        self.edges.left = true;
        self
    }

    pub fn right(mut self) -> Self {
        self.edges.right = true;
        self
    }

    pub fn of(mut self, word: &str) -> Self {
        self.exempts.push(word.to_owned());
        self
    }

    pub fn shown(mut self, placeholder: &str) -> Self {
        placeholder.clone_into(&mut self.placeholder);
        self
    }
}

pub fn redact(word: &str) -> Rule {
    Rule::new(Action::Redact, word)
}

pub fn refuse(word: &str) -> Rule {
    Rule::new(Action::Refuse, word)
}

pub fn allow(word: &str) -> Rule {
    Rule::new(Action::Allow, word)
}

pub fn source(rules: &[Rule]) -> RuleSetSource {
    let ids_of = |word: &String| {
        let means =
            |rule: &&Rule| rule.action != Action::Allow && (&rule.id == word || rule.words.contains(word));
        rules.iter().filter(means).map(|rule| rule.id.clone()).collect::<Vec<_>>()
    };
    let text = |text: &String| Text { en: text.clone(), zh: text.clone() };
    let rules = rules.iter().map(|rule| RuleSource {
        id: rule.id.clone(),
        words: rule.words.clone(),
        view: "A".to_owned(),
        direction: vec![Direction::Out],
        action: rule.action,
        granularity: Granularity::Span,
        edges: rule.edges,
        exempts: rule.exempts.iter().flat_map(ids_of).collect(),
        message: None,
        placeholder: Some(text(&rule.placeholder)),
        source: None,
        reason_code: None,
    });
    RuleSetSource { v: 1, rules: rules.collect() }
}

pub fn compile_with(rules: &[Rule], limits: Limits) -> Arc<RuleSet> {
    match RuleSet::compile(&source(rules), limits) {
        Ok(set) => Arc::new(set),
        Err(error) => panic!("{error}"),
    }
}

pub fn compile(rules: &[Rule]) -> Arc<RuleSet> {
    compile_with(rules, LIMITS)
}
