/** `muster completion bash|zsh`, and `muster __complete`, which the scripts ask for names. */
import { Argument, type Command } from 'commander'
import { answer, segment } from './client.ts'
import type { Io } from './io.ts'
import { allPages, pageSize } from './pages.ts'
import { open, type Session, show, verb } from './session.ts'

/** Nouns whose first argument is the name of something that the service knows. */
const namedNouns = ['node', 'profile', 'image', 'overlay'] as const

/** Nouns whose first argument is a node although they are called otherwise. */
const nounOf: Record<string, (typeof namedNouns)[number]> = { boot: 'node' }

/** Verbs whose first argument is a new name or a file. */
const freshVerbs = ['add', 'import', 'push']

/** Adds `completion` and the hidden `__complete`. */
export function completionCommands(program: Command, io: Io): void {
  const completion = verb(program, 'completion', 'Print the completion script of a shell')
  completion.addArgument(new Argument('<shell>', 'which shell').choices(['bash', 'zsh']))
  completion.addHelpText(
    'after',
    '\nIn ~/.bashrc: source <(muster completion bash); in ~/.zshrc likewise, after compinit.',
  )
  completion.action(async (shell: 'bash' | 'zsh') => {
    const session = await open(io, completion)
    const script = shell === 'bash' ? bashScript(program) : zshScript(program)
    if (session.json) show(session, script, () => [])
    else io.stdout.write(script)
  })

  const names = program.command('__complete <noun> [of]', { hidden: true })
  names.action(async (noun: string, of: string | undefined) => {
    const session = await open(io, names)
    for (const name of await (noun === 'version' ? versionNames(session, of ?? '') : namesOf(session, noun))) {
      // A shell puts these on a command line: nothing but what a name may be made of.
      if (/^[\w.@:-]+$/.test(name)) io.stdout.write(`${name}\n`)
    }
  })
}

/** Names of the noun's things; none for what is no such noun. Throws when the service does not answer. */
async function namesOf({ api: { client } }: Session, noun: string): Promise<string[]> {
  const { nodes, profiles, images, overlays } = client.api
  const pages = async (read: Parameters<typeof allPages<{ name: string }>>[0]) => (await allPages(read)).items
  const query = { limit: pageSize }
  const found = await (() => {
    switch (noun) {
      case 'node':
        return pages((after) => answer(nodes.$get({ query: { ...query, ...after } })))
      case 'profile':
        return pages((after) => answer(profiles.$get({ query: { ...query, ...after } })))
      case 'image':
        return pages((after) => answer(images.$get({ query: { ...query, ...after } })))
      case 'overlay':
        return answer(overlays.$get())
      default:
        return []
    }
  })()
  return found.map(({ name }) => name)
}

/** What may stand behind an image's `@`: numbers, newest first, and tags. */
async function versionNames({ api: { client } }: Session, image: string): Promise<string[]> {
  const found = await answer(client.api.images[':name'].versions.$get({ param: { name: segment(image) } }))
  return found.flatMap(({ number, tags }) => [String(number), ...tags])
}

/** Lines of a shell's `case`: what may follow `muster NOUN` and `muster NOUN VERB`. */
function cases(program: Command): string {
  const visible = (command: Command) => command.commands.filter((one) => !one.name().startsWith('_'))
  const flags = (command: Command) => command.options.flatMap((option) => [option.long, option.short]).filter(Boolean)
  const one = (pattern: string, words: (string | undefined)[], noun = '') =>
    `    '${pattern}') list='${words.join(' ')}' noun='${noun}' ;;`
  const lines = [one(' ', [...visible(program).map((noun) => noun.name()), ...flags(program)])]
  for (const noun of visible(program)) {
    const verbs = visible(noun)
    if (verbs.length === 0) {
      lines.push(one(`${noun.name()} `, [...choicesOf(noun), ...flags(noun)]))
      continue
    }
    lines.push(
      one(
        `${noun.name()} `,
        verbs.map((verbOf) => verbOf.name()),
      ),
    )
    const asked = namedNouns.find((name) => name === noun.name()) ?? nounOf[noun.name()] ?? ''
    for (const verbOf of verbs) {
      const names = freshVerbs.includes(verbOf.name()) ? '' : asked
      lines.push(one(`${noun.name()} ${verbOf.name()}`, flags(verbOf), names))
    }
  }
  return lines.join('\n')
}

const choicesOf = (command: Command): string[] =>
  command.registeredArguments.flatMap((argument) => argument.argChoices ?? [])

function bashScript(program: Command): string {
  return `# bash completion for muster; made by: muster completion bash
_muster() {
  local word=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} list= noun= key=' ' image=
  # rocky9@3 is three words here, and what is offered takes the place of the @, too.
  if [ "$word" = @ ]; then
    image=$previous word= previous=\${COMP_WORDS[COMP_CWORD-2]}
  elif [ "$previous" = @ ]; then
    image=\${COMP_WORDS[COMP_CWORD-2]} previous=\${COMP_WORDS[COMP_CWORD-3]}
  fi
  [ "$COMP_CWORD" -ge 2 ] && key="\${COMP_WORDS[1]} "
  [ "$COMP_CWORD" -ge 3 ] && key="\${COMP_WORDS[1]} \${COMP_WORDS[2]}"
  case $key in
${cases(program)}
  esac
  case $previous in --node|--profile|--image) noun=\${previous#--} ;; esac
  if [ "$noun" = image ] && [ -n "$image" ]; then
    list=$(muster __complete version "$image" 2>/dev/null)
  elif [ -n "$noun" ] && [ "\${word#-}" = "$word" ]; then
    list=$(muster __complete "$noun" 2>/dev/null)
  fi
  COMPREPLY=($(compgen -W "$list" -- "$word"))
  [ -n "$image" ] && COMPREPLY=("\${COMPREPLY[@]/#/@}")
  return 0
}
complete -o default -F _muster muster
`
}

function zshScript(program: Command): string {
  return `#compdef muster
# zsh completion for muster; made by: muster completion zsh
_muster() {
  local word=\${words[CURRENT]} previous=\${words[CURRENT-1]} noun= key=' '
  local -a found
  (( CURRENT >= 3 )) && key="\${words[2]} "
  (( CURRENT >= 4 )) && key="\${words[2]} \${words[3]}"
  _muster_table "$key"
  case $previous in (--node|--profile|--image) noun=\${previous#--} ;; esac
  if [[ $noun == image && $word == *@* ]]; then
    found=(\${(f)"$(muster __complete version "\${word%%@*}" 2>/dev/null)"})
    found=("\${word%%@*}"@$^found)
  elif [[ -n $noun && $word != -* ]]; then
    found=(\${(f)"$(muster __complete "$noun" 2>/dev/null)"})
  fi
  compadd -a found
  [[ $word == */* ]] && _files
}
_muster_table() {
  local list
  case $1 in
${cases(program)}
  esac
  found=(\${=list})
}
compdef _muster muster
`
}
