//! Prints what is known of models: `cargo run -p model-facts --example facts -- gpt-4o groq/openai/gpt-oss-120b`.

#![expect(clippy::print_stdout, reason = "an example for a terminal")]

use std::process::ExitCode;

use model_facts::{Abilities, Ability, Day, FactTable, ModelFacts, Status, facts_of};

fn main() -> ExitCode {
    let models: Vec<String> = std::env::args().skip(1).collect();
    if models.is_empty() {
        println!("usage: facts MODEL…");
        return ExitCode::from(2);
    }
    let mut code = ExitCode::SUCCESS;
    for model in models {
        match facts_of(&model) {
            Some(facts) => show(&model, facts),
            None => {
                println!("{model}: not known");
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

fn show(asked: &str, facts: &ModelFacts) {
    let tokens = |count: Option<u64>| {
        count.map_or_else(|| "not published".to_owned(), |count| format!("{count} tokens"))
    };
    let (mut can, mut cannot) = (Abilities::UNKNOWN, Vec::new());
    for ability in Ability::ALL {
        match facts.can(*ability) {
            Some(true) => can = can.with(*ability, true),
            Some(false) => cannot.push(ability.as_str()),
            None => {}
        }
    }
    println!("{asked}");
    println!("  provider        {}", facts.provider);
    println!("  model           {} ({})", facts.model, facts.kind.as_str());
    println!("  context window  {}", tokens(facts.context_window));
    println!("  max input       {}", tokens(facts.max_input_tokens));
    println!("  max output      {}", tokens(facts.max_output_tokens));
    println!("  can             {can}");
    println!("  cannot          {}", cannot.join(" "));
    println!("  status          {}", facts.status.map_or("not published", Status::as_str));
    println!(
        "  shutdown        {}",
        facts.shutdown.map_or_else(|| "none published".to_owned(), |day| day.to_string())
    );
    let as_of = FactTable::published().as_of();
    println!("  as of           {}", as_of.as_ref().map(Day::to_string).unwrap_or_default());
}
