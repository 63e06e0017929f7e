//! A page of the documentation: its fenced blocks, as CONTRIBUTING.md says how to write them.

use std::path::Path;

/// A page.
pub struct Page {
    /// Where it is, from the repository's root.
    pub path: String,
    pub blocks: Vec<Block>,
}

/// A fenced block.
pub struct Block {
    /// The line of its fence.
    pub line: usize,
    /// What stands behind the fence, such as `yaml spec`.
    pub info: String,
    pub text: String,
}

/// A declaration that a page shows.
pub struct Declaration {
    /// The line of its fence.
    pub line: usize,
    /// The file that later commands know it by.
    pub name: Option<String>,
    /// A complete file.
    pub text: String,
    /// Whether the page says that it is refused.
    pub refused: bool,
}

/// A command and what a page says that it prints.
#[derive(Clone)]
pub struct Command {
    /// The line it begins at.
    pub line: usize,
    pub text: String,
    /// `None` where the page shows no output: then it only has to succeed.
    pub output: Option<String>,
}

impl Page {
    pub fn read(root: &Path, path: &str) -> Self {
        let text = std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self { path: path.to_owned(), blocks: blocks(&text) }
    }

    /// The declarations that it shows.
    pub fn declarations(&self) -> Vec<Declaration> {
        let shown = self.blocks.iter().filter_map(|block| {
            let text = match block.info.as_str() {
                "yaml" | "yaml refused" => block.text.clone(),
                "yaml spec" => part("TenantDatabase", &block.text),
                "yaml server" => part("DatabaseServer", &block.text),
                _ => return None,
            };
            let refused = block.info == "yaml refused";
            Some(Declaration { line: block.line, name: block.name().map(str::to_owned), text, refused })
        });
        shown.collect()
    }

    /// The files for kubectl that its commands know by a name.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        let of_cluster = self.blocks.iter().filter(|block| block.info == "yaml cluster");
        of_cluster.filter_map(|block| Some((block.name()?, block.text.as_str())))
    }

    /// Whether its commands need a cluster.
    pub fn is_of_cluster(&self) -> bool {
        self.blocks.iter().any(|block| block.info == "console cluster")
    }

    /// Its commands, in their order.
    pub fn commands(&self) -> Vec<Command> {
        self.blocks.iter().flat_map(Block::commands).collect()
    }

    /// The same, each block's by itself.
    pub fn transcripts(&self) -> Vec<Vec<Command>> {
        self.blocks.iter().map(Block::commands).filter(|commands| !commands.is_empty()).collect()
    }

    /// Writes the page with its transcripts as these outputs have them.
    pub fn rewrite(&self, root: &Path, outputs: &mut dyn Iterator<Item = &str>) {
        let path = root.join(&self.path);
        let text = std::fs::read_to_string(&path).unwrap();
        let mut lines = text.lines().map(str::to_owned).map(Some).collect::<Vec<_>>();
        for block in &self.blocks {
            let mut transcript = String::new();
            for command in block.commands() {
                let output = outputs.next().unwrap().trim_end();
                let lines = ["$ ", &command.text, "\n", output, if output.is_empty() { "" } else { "\n" }];
                transcript += &lines.concat();
            }
            if block.is_transcript() {
                let first = block.line;
                lines[first] = Some(transcript.trim_end().to_owned());
                lines[first + 1..first + block.text.lines().count()].fill(None);
            }
        }
        std::fs::write(&path, lines.into_iter().flatten().collect::<Vec<_>>().join("\n") + "\n").unwrap();
    }
}

impl Block {
    /// The file that its first line names.
    fn name(&self) -> Option<&str> {
        let name = self.text.lines().next().and_then(|line| line.strip_prefix("# "));
        name.filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "yaml"))
    }

    fn is_transcript(&self) -> bool {
        matches!(self.info.as_str(), "console" | "console cluster")
    }

    fn commands(&self) -> Vec<Command> {
        let mut commands: Vec<Command> = Vec::new();
        let mut continues = false;
        for (index, line) in self.text.lines().enumerate() {
            let begins = match self.info.as_str() {
                "sh" => (!line.is_empty() && !line.starts_with('#')).then_some(line),
                _ if self.is_transcript() => line.strip_prefix("$ "),
                _ => return commands,
            };
            let last = commands.last_mut();
            match (begins, last) {
                (_, Some(command)) if continues => command.text += &["\n", line].concat(),
                (Some(text), _) => {
                    let output = self.is_transcript().then(String::new);
                    commands.push(Command { line: self.line + 1 + index, text: text.to_owned(), output });
                }
                (None, Some(Command { output: Some(output), .. })) => *output += &[line, "\n"].concat(),
                _ => {}
            }
            continues = line.ends_with('\\');
        }
        commands
    }
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    // A block that shows a fence has a longer one of its own.
    let mut open: Option<&str> = None;
    for (index, line) in text.lines().enumerate() {
        let (fence, info) = line.split_at(line.find(|c| c != '`').unwrap_or(line.len()));
        match open {
            None if fence.len() >= 3 => {
                blocks.push(Block { line: index + 1, info: info.trim().to_owned(), text: String::new() });
                open = Some(fence);
            }
            None => {}
            Some(opened) if line == opened => open = None,
            Some(_) => {
                let block = blocks.last_mut().unwrap();
                block.text.push_str(line);
                block.text.push('\n');
            }
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

/// A file with one server that is made when it is needed.
pub const LOCAL_SERVER: &str = "apiVersion: tenantdb.dev/v1alpha1\nkind: DatabaseServer\nmetadata: {name: dev}\n\
                                spec:\n  default: true\n  source: {local: {}}\n";

/// A complete declaration of a kind with this `spec`; a server's source is a local one, unless it has its own.
pub fn part(kind: &str, spec: &str) -> String {
    let administrated = spec.contains("admin:") || spec.contains("publish: {host") || spec.contains("publish: {port");
    let source = match kind {
        "DatabaseServer" if spec.contains("source:") => "",
        "DatabaseServer" if administrated => "  source: {endpoint: {host: db.example.org}}\n",
        "DatabaseServer" => "  source: {local: {}}\n",
        _ => "",
    };
    let head = format!("apiVersion: tenantdb.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: example}}\nspec:\n");
    spec.lines().fold(head + source, |text, line| text + "  " + line + "\n")
}
