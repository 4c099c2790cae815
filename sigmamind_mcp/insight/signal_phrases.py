"""The phrases and words that signals look for in a transcript."""

import re

# Words that a repeated turn may gain or lose.
FILLER_WORDS = frozenset(
    "a an and again also am are but can could d do have hello hi i if im is ive just kindly let ll"
    " m may me my now of ok okay once please re really right s so sorry sure thank thanks that the"
    " then there this to ve we well will would you your apologies bitte danke merci gracias por"
    " favor".split()
)

# Words that make two similar turns say different things, as numbers do.
DISTINGUISHING_WORDS = frozenset(
    "not no never cannot cant dont wont didnt isnt arent doesnt without first second third last"
    " next previous other one two three four five six seven eight nine ten monday tuesday"
    " wednesday thursday friday saturday sunday january february march april june july august"
    " september october november december nicht kein keine".split()
)

# The agent asks whether it can do anything else.
OFFER_OF_MORE_HELP = re.compile(
    r"\b(?:anything|something) else\b|\b(?:other|further|more) questions?\b|\bmore I can\b"
    r"|\bsonst noch\b|\bnoch etwas\b|\balgo más\b|\bautres? (?:chose|questions?)\b|\baltro\b"
    r"|\bmais alguma coisa\b|\bcoś jeszcze\b|\bчем-?то ещ[её]\b|\bчто-нибудь ещ[её]\b|他に|ほかに"
    r"|其他|别的|\bbaşka bir\b|\bnog iets\b|\bnågot mer\b",
    re.IGNORECASE,
)

# The user asks to hear something again.
REPEAT_REQUEST = re.compile(
    r"\brepeat (?:that|it|this|the|your|please)\b|\brepeat\s*[?.!]"
    r"|\b(?:say|send|tell|show|read|explain|give|list|go|see|hear)\b[^.!?\n]{0,40}\b(?:again"
    r"|once more|one more time)\b"
    r"|\bcome again\b|\bpardon\b|\brecap\b|\bsummar(?:y|i[sz]e)\b|\bremind me\b"
    r"|\bwhat was (?:that|it)\b|\bsum up\b|\bpaste\b[^.!?\n]{0,40}\bagain\b"
    r"|\bwhat did you (?:just )?say\b|\b(?:breaking|cutting) (?:up|out)\b|\bzu schnell\b|もう一回"
    r"|\breloaded\b|\b(?:huh|what)\?|\btoo loud\b|\bbad (?:line|connection)\b"
    r"|\bdid(?:n['’]?t| not) (?:catch|get|see|hear|understand|read)\b"
    r"|\b(?:missed|lost) (?:that|it|your|the|what)\b|\bnoch ?mal|\bnoch einmal|wiederhol|répét"
    r"|repét|\brepet[ei]|\brepit|\botra vez\b|\bde nuevo\b|\bde novo\b|もう一度|もういちど|再说"
    r"|再發|再发|重复|повтор|ещ[её] раз|powtórz|jeszcze raz|\btekrar|\bripet|\bherhal|\bupprepa"
    r"|\baltra volta\b|\bdi nuovo\b",
    re.IGNORECASE,
)

# The user complains about a repetition, so the same words are no request.
REPEAT_COMPLAINT = re.compile(
    r"\bstop\b|\bquit\b|\bkeep\b|\byou(?:['’]ve| have)? (?:already|just)\b"
    r"|\bdo(?:n['’]?t| not) (?:say|tell|ask|send|repeat)\b|\bI (?:already|just)\b",
    re.IGNORECASE,
)

# Markdown code, where a placeholder is an example.
CODE_SPAN = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)

# A template variable that was not filled in: {{name}}, {name}, ${name}, <first_name>, %name%, …
PLACEHOLDER = re.compile(
    r"\{\{\s{0,9}([^{}\n]{1,60}?)\s{0,9}\}\}|(?<![{\w$])\{([^\W\d][\w.]{1,39})\}(?!\})"
    r"|\$\{([a-z][\w.]{1,39})\}|<<?([a-z]+(?:_[a-z]+)+)>>?"
    r"|(?<!\w)%([A-Za-z]+(?:_[A-Za-z]+)*)%(?!\w)|\[([a-z]+(?:_[a-z]+)+)\](?!\()"
    r"|\b([A-Z]+(?:_[A-Z]+){0,4}_PLACEHOLDER)\b|(?<![\w%])(%[sd])(?![\w%])"
)

# A label in brackets, such as [Customer Name].
BRACKETED_LABEL = re.compile(
    r"\[(?:(?:your|customer|user|client|patient|guest|first|last|full|order|booking|tracking"
    r"|account|delivery|appointment|insert)['’s]{0,2} ){1,3}(?:name"
    r"|number|date|id|amount|address|email|phone|time|link|here)\](?!\()"
    r"|\[(?:nombre|apellidos?|número|fecha|importe|name|vorname|nachname|kundenname|datum|betrag"
    r"|bestellnummer|nom|prénom|numéro|date|montant|nome|cognome|numero|data|importo|naam|bedrag"
    r"|imię|nazwisko"
    r"|kwota)(?: (?:del?|des|du|der|di|do|da|van|klienta|el|la|le|l['’]) ?\w{0,20}){0,2}\](?!\()"
    r"|[【「\[](?:金额|姓名|名字|日期|订单号|编号|客户姓名|お名前|お客様名|注文番号|金額"
    r"|日付)[】」\]]",
    re.IGNORECASE,
)

# What JavaScript prints for an object.
PRINTED_OBJECT = re.compile(r"\[object Object\]")

# The user talks about templates.
TEMPLATE_TALK = re.compile(
    r"[{}]"
    r"|\b(?:templates?|placeholders?|merge (?:tags?|fields?)|variables?|snippets?|syntax|json|api"
    r"|webhooks?|code|regex|mail merge|vorlagen?|platzhalter|plantillas?|modèles?)\b",
    re.IGNORECASE,
)

# The agent talks about code or templates.
CODE_TALK = re.compile(
    r"\b(?:brackets|(?:merge )?tags?|fields?|placeholders?|templates?|stands for|json|objects?"
    r"|functions?|imports?|config|code|variables?|pointers?|exceptions?|scripts?|console"
    r"|compil\w+)\b",
    re.IGNORECASE,
)

# Words before a placeholder that tell the user to type it.
TYPING_INSTRUCTION = re.compile(
    r"\b(?:type|write|enter|insert|paste|copy|format|template|placeholder|tag|variable|syntax"
    r"|replace|field)\b[^.!?\n]{0,40}$",
    re.IGNORECASE,
)

_NO_VALUE = r"(?:undefined|null|None|NaN|nil)"

# A gap where a value belongs, such as "Hi ," or "The balance is  ."
EMPTY_VALUE = re.compile(
    r"(?:(?<!\w)(?:[Hh]i|[Hh]ello|[Hh]ey|[Dd]ear|[Hh]allo|[Hh]ola|[Oo]lá|[Cc]iao|[Ee]stimad[oa]"
    r"|[Gg]uten Tag|[Ww]elcome(?: back)?|[Gg]ood (?:morning|afternoon|evening|day)|[Tt]hank you"
    r"|[Tt]hanks|[Mm]rs?\.?|[Mm]s\.?|Herr|Frau)[ \t]{1,9}[,!.](?![.\w])"
    r"|(?<!\w)Bonjour[ \t]{1,9},|^Dear\s{0,9},"
    rf"|(?<!\w)(?:[Hh]i|[Hh]ello|[Hh]ey|[Dd]ear|[Tt]hanks|[Tt]hank you),? {_NO_VALUE}\b"
    r"|\b(?:is|for|number|of|on|#):? {1,3}(?:undefined|null|NaN)(?!\w)"
    r"|[$€£]\s?(?:undefined|null|NaN)\b|\w: {1,3}(?:undefined|null|NaN)\s?[.,]?(?=\s|$)"
    r"|\b(?:door|par|por|da) null\b"
    r"|\b(?:is|are|on|for|of|to|at|by|from|until|your|dated|named|under|ist|am|für|unter|lautet|es"
    r"|es el|para|del|est le|pour|é)[ \t]{1,9}[.,;](?=\s|$)"
    r"|\b(?:on|at|for|of|from|until|by|to|number)[ \t]{2,9}(?:at|on|is|and|with|to|will|has|was"
    r"|for|from)\b"
    r"|\b(?:is|of|for|to"
    r"|be)[ \t]{1,9}[$€£](?=[ \t]{0,9}(?:[.,;!](?:\s|$)|$"
    r"|[ \t](?:and|has|will|was|to|on|for|by)\b))"
    r"|(?:order|ticket|booking|reference|case|invoice|account|policy|claim|tracking"
    r"|reservation)[ \t]{0,3}#[ \t]{0,9}(?:[ \t](?:has|will|was"
    r"|is (?:on its|confirmed|ready|delayed|shipped|scheduled|being|out for|now|still|open|due))\b"
    r"|[,;](?=\s)))",
    re.MULTILINE,
)

# A space before a punctuation mark, as in French.
SPACED_PUNCTUATION = re.compile(r"\w[\s\u202f\u00a0][!?:;]")

# The user thanks, agrees or says goodbye.
CLOSING = re.compile(
    r"\bth(?:an)?(?:ks|x)\b|\bthank (?:you|u)\b|\bty\b|\bcheers\b|\b(?:good)?bye\b"
    r"|\bsee (?:you|ya)\b|\btake care\b|\bhave a\b"
    r"|\b(?:that|this)(?:['’]s| is| was| will be|['’]ll be) (?:all|it|everything)\b|\ball set\b"
    r"|\bwill do\b|\b(?:got to|gotta|have to) (?:go|run)\b|\byou too\b|\bsame to you\b"
    r"|\bno(?:thing)? (?:more|else|further)\b|\bgood ?night\b|\bappreciate\b"
    r"|\bI(?:['’]ll| will) (?:wait|write|try|do)\b|\bI(?:['’]ll| will) take it\b|\bwrong number\b"
    r"|\bworks? like\b|\bya lo (?:encontré|tengo|veo)\b|\bnvm\b|\bfound it\b|\bthat explains\b"
    r"|\bmakes me (?:so |very )?happy\b|\bsounds good\b|\bforget it\b|\bnever ?mind\b|\bdanke"
    r"|\btschüss|\bwiedersehen|\bmerci\b|\bau revoir\b|\bbonne (?:journée|soirée)|\bgracias\b"
    r"|\badiós\b|\bhasta\b|\bobrigad|\btchau\b|\bgrazie\b|\barrivederci\b|\bbedankt\b"
    r"|\bdank (?:je|u)\b|\btack\b|\bdziękuję|\bdzięki|\bděkuj[iu]|\bteşekkür|\bkiitos\b|\btakk?\b"
    r"|ありがと|谢谢|謝謝|多谢|감사|спасибо|до свидания|дякую|شكرا|धन्यवाद|ขอบคุณ|ευχαριστώ",
    re.IGNORECASE,
)

# The user asks for something.
REQUEST = re.compile(
    r"\bplease\b|(?<!\ball )\bI (?:still )?(?:want|need|insist|demand|expect)\b|\bI['’]?d like\b"
    r"|\bI would like\b|\b(?:can|could|would|will) you\b|\bbut\b|\bstill\b|\bwaiting\b"
    r"|\b(?:where|when|why|how|what|which|who) (?:is|are|do|does|did|about|can|will|should|much"
    r"|many|long|exactly)\b"
    r"|\bfor nothing\b|\bbitte\b|\baber\b|\bpor favor\b|\bpero\b|\bs['’]il vous\b|\bmais\b"
    r"|\bper favore\b|\blet me know\b|\btell me\b",
    re.IGNORECASE,
)

# The user leaves the conversation.
DEPARTURE = re.compile(
    r"\b(?:good)?bye\b|\bhave a (?:nice|good|great|lovely)\b"
    r"|\b(?:got to|gotta|have to) (?:go|run)\b|\bforget it\b|\bnever ?mind\b|\bsomewhere else\b"
    r"|\belsewhere\b|\bI give up\b|\bI(?:['’]m| am) (?:done|leaving|off)\b",
    re.IGNORECASE,
)

# The user asks for something even while leaving.
PLEA = re.compile(r"\bplease\b|\b(?:can|could) you\b", re.IGNORECASE)

# The user says yes.
AGREEMENT = re.compile(
    r"^\W{0,3}(?:yes|yep|yeah|sure|ja|sí|si|oui|sim|tak|да|はい|go ahead|do (?:it|that))\b(?! es"
    r"|, es)",
    re.IGNORECASE,
)

# The user objects or asks without a question mark.
OBJECTION = re.compile(
    r"^\W{0,3}(?:no|nope|wrong|not|nein|non|hello"
    r"|(?:(?:ok|and|so|on|at|to|from|in|for)\W{1,2})?(?:when|where|why|how|what|which"
    r"|who))\b(?! (?:problem|worries))",
    re.IGNORECASE,
)

# The user says no.
REFUSAL = re.compile(
    r"\W{0,3}(?:no|nope|nah|nein|non|não|nee|nie|hayır|нет|いいえ|不用)\b", re.IGNORECASE
)

# The user complains.
COMPLAINT = re.compile(
    r"\b(?:not|never|nothing|wrong|already|again|ridiculous|unacceptable|useless|still)\b"
    r"|\b(?:do|does|did|is|was|ca|wo)n['’]?t\b"
    r"|\b(?:nicht|nichts|kein\w{0,2}|falsch|schon|immer noch|nada|todavía|ya (?:se )?lo|rien"
    r"|toujours|déjà|niente|ancora|già|não|nada|niet|niets|steeds|nie|już|yok|değil)\b"
    r"|没有|不是|已经|還沒|还没|ません|ない",
    re.IGNORECASE,
)

# The agent asks the user to wait.
STALLING = re.compile(
    r"\b(?:one|a|just a) (?:moment|minute|second|sec)\b|\blet me (?:check|look|see|find|pull)\b"
    r"|\b(?:please )?hold on\b|\bbear with me\b|\bhang on\b|\bI(?:['’]ll| will) (?:check|look)\b"
    r"|\bEinen Moment\b|\bun momento?\b|\bun instant\b|少々お待ち|请稍等",
    re.IGNORECASE,
)
