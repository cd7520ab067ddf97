"""Make the sentences tiny-en is trained on: templates over word lists. Pure, given a generator."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

DIGITS = "zero one two three four five six seven eight nine".split()
TEENS = (
    "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
)
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth last next".split()
)
DAYS = "monday tuesday wednesday thursday friday saturday sunday today tomorrow".split()
MONTHS = (
    "january february march april may june july august september october november december"
).split()

COMMON = """
the be to of and a in that have i it for not on with he as you do at this but his by from they we
say her she or an will my one all would there their what so up out if about who get which go me
when make can like time no just him know take people into year your good some could them see other
than then now look only come its over think also back after use two how our work first well way
even new want because any these give day most us is are was were been has had did said made went
got came took thought knew found told asked felt left kept let put seem tried call called need
feel become leave mean keep begin show hear play run move live believe hold bring happen write sit
stand lose pay meet include continue set learn change lead understand watch follow stop create
speak read spend grow open walk win teach offer remember love consider appear buy wait serve die
send build stay fall cut reach kill raise pass sell decide return explain hope develop carry break
receive agree support hit produce eat cover catch draw choose help turn start might must should
every great big small large long short old young high low early late little right wrong same
different few many much more less own public bad able important next last best better sure free
true real full special easy clear recent certain personal open red blue green black white hot cold
warm cool nice happy sad strong weak fast slow hard soft ready quick simple dark light heavy clean
dirty empty busy quiet loud man woman child children boy girl world life hand part place case week
company system program question government number night point home water room mother father area
money story fact month lot study book eye job word business issue side kind head house service
friend power hour game line end member law car city community name president team minute idea kid
body information nothing ago face others level office door health person art war history party
result morning reason research girl guy moment air teacher force education foot food school family
country street table tree river road train bus ship plane phone computer music song picture movie
paper letter window kitchen bed chair floor wall garden dog cat bird horse fish apple bread milk
coffee tea sugar salt egg meat cheese dinner lunch breakfast sun moon star rain snow wind fire
summer winter spring weather doctor hospital police station market shop store price ticket
birthday holiday weekend evening afternoon yesterday always never often sometimes usually again
still already soon here very really too quite almost maybe perhaps please thank thanks yes okay
hello goodbye sorry something anything everything someone everyone nobody where why while before
between under around through during without against inside outside near far away together alone
above below across along behind beside beyond another each both such yet once twice enough half
quarter hundred thousand million dollar dollars cent minute second
""".split()

TECH = """
file files folder directory line lines function method class variable module package test tests
suite bug bugs error errors warning branch commit merge push pull request review code change
changes server client database table query index terminal window tab screen editor cursor
keyboard mouse button menu page link list item value key token string number array object loop
thread process memory disk network port cache queue log logs build release version deploy
container image cluster cloud token password account user users login logout session email message
settings config option flag script command shell prompt path input output buffer debug compile
format rename delete remove insert copy paste undo redo save close open run stop start restart
refactor fix update install upgrade download upload search replace select scroll click type typing
comment document documentation readme issue ticket project repository feature endpoint interface
library framework import export return print parse render load fetch check verify retry timeout
syntax schema model data record row column field name timestamp node tree graph stack frame
backend frontend python json html java rust docker linux mac windows browser chrome microphone
recording audio speech transcript text word sentence paragraph
""".split()

VERBS = """fix open close run stop start restart show hide delete remove rename create add update check
save copy move print build test deploy merge review revert refactor format find search clean
install download upload load reset enable disable import export sort filter read write edit undo
debug profile commit push pull rebase tag""".split()

OBJECTS = """the login bug|the test suite|the terminal|the window|the file|the last commit|the error log|the
readme|the main branch|the database|the server|the build|the settings page|the user table|the
search button|the first line|the current function|this class|this method|this test|the unit
tests|the pull request|the new feature|the old code|the whole project|the config file|the cache|the
network request|the memory leak|the broken link|the next page|the left panel|the right side|the
sidebar|the menu|the email|the message|the password|the account|the audio file|the recording|the
microphone|the speech model|the release notes|the changelog|the documentation|the import error|the
syntax error|the timeout|the retry loop|the log file|the output folder|the temporary files|the
docker image|the container|the python script|the json file|the index|the backend|the front end|the
api key|all warnings|all tests|everything|the schema|the query|the comment|the data model|the
keyboard shortcut|the download link|the version number|the package|the dependency|the editor|the
browser tab|the stack trace|the failing test|the empty string|the list of users|the home page|the
crash report""".replace("\n", " ").split("|")

TAILS = """again|please|now|in the editor|in the main branch|before lunch|for me|on the server|and tell me
what happened|and run the tests|and close the window|after the meeting|tomorrow morning|when you
are ready|with the new settings|without the cache|from the beginning|at the end|in a new
window|in the background|as soon as possible|one more time|if it fails|until it works|and save
it|and send it to me|and show me the result|and commit the change|this time|right now|later
today|on friday|in the next release|and open a pull request|then stop|step by
step""".replace("\n", " ").split("|")

HEADS = """please|can you|could you please|i want you to|let us|now|then|next|first|we should|we need to|you
have to|i will|go and|just|okay|do not|never|always|try to|remember to|would you|hey|maybe we can|help me
to|i think we should|it is time to|the next step is to""".replace("\n", " ").split("|")

APPS = "terminal window tab screen page line file chapter step version server worker room level".split()

SUBJECTS = """i|you|we|they|he|she|it|the man|the woman|my mother|my father|the teacher|our friend|the
doctor|the children|people|everyone|nobody|the old man|the little girl|the boy|my brother|my
sister|the president|the police|the company|the team|your dog|the cat|the student|some people|the
driver|her husband|his wife|the neighbor|the whole family""".replace("\n", " ").split("|")

PREDICATES = """will come back {t}|went to the {p} {t}|wants to buy {n}|saw {n} near the {p}|can not
find {n}|is waiting at the {p}|was in the {p} {t}|would like {n} and {n}|never forgot {n}|has to go
to the {p}|left {n} in the {p}|likes to read in the {p}|should call {t}|took {n} to the {p}|made {n}
for the {f}|needs {n} {t}|knows where {n} is|asked about {n}|said it was {a}|thought the {p} was too
{a}|looked very {a} {t}|bought {n} at the {p} {t}|lost {n} on the way to the {p}|gave {n} to the
{f}|lives near the {p}|works at the {p} every day|opened the door and went into the {p}|must finish
the work {t}|told the {f} about {n}|could hear the {f} in the {p}|did not see {n}|is going to be
{a}|has never been so {a}|wrote a letter to the {f}|put {n} on the table|walked along the {p} with
the {f}|felt {a} and {a}|does not know what to say|was looking for {n} all day|is not here {t}|sat
in the {p} and watched the {f}|stopped in front of the {p}|helped the {f} carry
{n}""".replace("\n", " ").split("|")

PLACES = """house|garden|kitchen|city|market|school|office|station|river|street|hospital|park|shop|room|
library|village|beach|church|town|bank|restaurant|mountain|bridge|forest|farm|hotel|airport|
museum""".replace("\n", "").split("|")
THINGS = """a book|the book|some water|a cup of tea|the keys|a new car|the phone|a letter|some bread|the
money|a red apple|a big dog|the picture|two tickets|a small box|his hat|her bag|the newspaper|an
old chair|three eggs|the map|a bottle of milk|my glasses|the answer|a good idea|the other one|a
warm coat|fresh fruit|a glass of water|the white shirt|a black horse|the
computer""".replace("\n", " ").split("|")
FOLKS = """family|children|doctor|teacher|king|people|guests|girl|boy|woman|man|baby|students|workers|
farmer|soldiers|friends|captain|stranger|neighbor""".replace("\n", "").split("|")
MOODS = """cold|hot|happy|sad|tired|good|bad|old|young|late|early|small|big|dark|bright|quiet|loud|busy|
empty|strong|hungry|angry|afraid|beautiful|ready|sure|sick|wrong|right|
important""".replace("\n", "").split("|")
WHENS = """today|tomorrow|yesterday|last night|this morning|in the evening|on monday|every day|next week|
last year|two days ago|at noon|after dinner|before the rain|all the time|again|in the summer|at the
end of the month|on sunday morning|for a long time|at once|very soon""".replace("\n", " ").split("|")

PHRASES = """what time is it|how are you today|i am fine thank you|see you tomorrow|good morning everyone|good
night and sleep well|thank you very much|you are welcome|nice to meet you|what is your name|my name
is john|where are you from|how old are you|i do not know|i have no idea|that is a good question|let
me think about it|can you help me|could you say that again|i did not understand|please speak more
slowly|where is the nearest station|how much does it cost|i would like a cup of coffee|the bill
please|turn left at the corner|turn right and go straight|it is on the other side of the street|what
is the weather like|it looks like rain|the sun is shining|it is very cold outside|i am hungry|let us
go home|wait a minute|hurry up we are late|be careful|do not worry|everything will be fine|i am
sorry|excuse me|no problem|of course|i agree with you|i do not think so|that makes sense|it does not
matter|happy birthday|merry christmas|happy new year|have a nice day|have a good weekend|take care of
yourself|call me when you get there|i will be right back|i am on my way|what are you doing|what do
you think|i love this song|turn up the volume|turn off the lights|set a timer for ten minutes|set an
alarm for seven|play some music|stop the music|next song|go back|go to the next page|scroll down|
scroll up|select all|copy that|paste it here|undo that|new line|new paragraph|delete the last
word|send the message|reply to all|open my email|take a note|remind me to buy milk|add eggs to the
shopping list|what is on my calendar today|schedule a meeting for tuesday|how do i get to the
airport|call a taxi|lock the door|close the window|the quick brown fox jumps over the lazy dog|she
sells sea shells by the sea shore|once upon a time there was a king|the early bird catches the
worm|practice makes perfect|better late than never|time will tell|actions speak louder than words|
the more the better|all is well that ends well|knowledge is power|all of the tests pass|the build
is green|it works on my machine|have you tried turning it off and on again|there is a bug in the
code|who wrote this function|this line is too long|the server is down|the page does not load|i will
fix it later|let us ship it|looks good to me|can you review my pull request|please rebase on
main|the tests are failing|add a unit test for this|what does this function do|explain this error
to me|where is this variable defined|go to line forty two|open terminal two|switch to the next
tab|close all tabs|show me the log|clear the screen|start recording|stop recording|is this thing
on|testing one two three|check check one two|can you hear me|listen to me|say it again|that is not
what i said|cancel that|never mind|yes please|no thank you|okay let us go|sounds good|got it|well
done|good job|come on|come here|look at this|i see|i know|right now|as you wish|not yet|me
too""".replace("\n", " ").split("|")


def digits(rng: Random) -> str:
    """Say one to ten digits."""
    return " ".join(rng.choices(DIGITS, k=rng.choice([1, 1, 2, 3, 4, 5, 5, 6, 7, 8, 10])))


def cardinal(value: int) -> str:
    """Spell a number below one million."""
    if value < 10:
        return DIGITS[value]
    if value < 20:
        return TEENS[value - 10]
    if value < 100:
        rest = value % 10
        return TENS[value // 10 - 2] + (f" {DIGITS[rest]}" if rest else "")
    unit, word = (1000, "thousand") if value >= 1000 else (100, "hundred")
    rest = value % unit
    return f"{cardinal(value // unit)} {word}" + (f" {cardinal(rest)}" if rest else "")


def number(rng: Random) -> str:
    """Say a number as people use it: plain, ordinal, time, date, price, decimal."""
    big = cardinal(int(10 ** rng.uniform(0, 5)))
    return rng.choice([
        big,
        f"{big} {rng.choice('dollars people times minutes days percent'.split())}",
        f"{cardinal(rng.randint(1, 12))} {cardinal(rng.randint(10, 59))}",
        f"{cardinal(rng.randint(1, 12))} o'clock",
        f"{rng.choice(MONTHS)} {rng.choice(ORDINALS[:10])}",
        f"the {rng.choice(ORDINALS)} of {rng.choice(MONTHS)}",
        f"{cardinal(rng.randint(0, 99))} point {rng.choice(DIGITS)}",
        f"{rng.choice(DAYS)} at {cardinal(rng.randint(1, 12))}",
        f"nineteen {cardinal(rng.randint(20, 99))}",
        f"twenty {cardinal(rng.randint(10, 40))}",
    ])


def dictation(rng: Random) -> str:
    """Tell a computer what to do."""
    what = rng.choice([
        lambda: f"{rng.choice(VERBS)} {rng.choice(OBJECTS)}",
        lambda: f"{rng.choice(VERBS)} {rng.choice(OBJECTS)}",
        lambda: f"{rng.choice(VERBS)} {rng.choice(OBJECTS)} and {rng.choice(VERBS)} {rng.choice(OBJECTS)}",
        lambda: f"{rng.choice('open close show select go&to move&to restart'.split())} {rng.choice(APPS)} "
        f"{cardinal(rng.choice([*range(1, 11), rng.randint(1, 300)]))}".replace("&", " "),
        lambda: f"{rng.choice(VERBS)} the {rng.choice(TECH)} {rng.choice(TECH)}",
        lambda: f"{rng.choice(VERBS)} the {rng.choice(ORDINALS)} {rng.choice(APPS)}",
    ])()
    if rng.random() < 0.35:
        what = f"{rng.choice(HEADS)} {what}"
    if rng.random() < 0.35:
        what = f"{what} {rng.choice(TAILS)}"
    return what


def everyday(rng: Random) -> str:
    """Say a plain sentence about people, places and things."""
    body = rng.choice(PREDICATES)
    for mark, words in (("{p}", PLACES), ("{n}", THINGS), ("{f}", FOLKS), ("{a}", MOODS), ("{t}", WHENS)):
        while mark in body:
            body = body.replace(mark, rng.choice(words), 1)
    return f"{rng.choice(SUBJECTS)} {body}"


def jumble(rng: Random) -> str:
    """String common words together, so that sounds have to be heard and cannot be guessed."""
    pool = rng.choice([COMMON, COMMON, TECH, COMMON + TECH])
    return " ".join(rng.choices(pool, k=rng.choice([1, 1, 2, 3, 4, 5, 6, 8])))


def phrase(rng: Random) -> str:
    """Say one of the fixed phrases."""
    return rng.choice(PHRASES).strip()


KINDS: dict[str, Callable[[Random], str]] = {
    "digits": digits,
    "number": number,
    "dictation": dictation,
    "everyday": everyday,
    "jumble": jumble,
    "phrase": phrase,
}
"""Every kind of sentence by name."""

WEIGHTS = {"digits": 4, "number": 2, "dictation": 5, "everyday": 4, "jumble": 5, "phrase": 2}
"""How often a kind is spoken in the wide domain."""

HELD_OUT = frozenset("""
fix the login bug|please open terminal two|run the test suite again|i would like a cup of tea and
some bread|where is the nearest hospital|please close the window and lock the door|show me the
error log again|the doctor will come back tomorrow|turn on the lights in the kitchen|delete the last
line and save the file|push the commit to the main branch|we need to restart the server now|my
brother bought a new car last week|can you read the message to me|open the settings page and search
for the password|the children walked along the river|what is the name of this song|add a comment to
the current function|please call me before lunch|how long does it take to get to the station|the
build failed because of a syntax error|let us meet at the office on monday morning|select all and copy
it to a new file|it was raining all day yesterday|scroll down to the end of the page|i can not find
my keys|merge the pull request after the review|the coffee is too hot|go to line twenty seven|she
asked about the price of the ticket
""".replace("\n", " ").strip().split("|"))
"""Sentences kept for the evaluation; a training sentence that equals or contains one is thrown away."""


def sentence(rng: Random, weights: dict[str, int]) -> tuple[str, str]:
    """Draw a kind and a sentence of it that is not held out."""
    while True:
        kind = rng.choices(list(weights), list(weights.values()))[0]
        text = " ".join(KINDS[kind](rng).split())
        if not any(held in text for held in HELD_OUT):
            return kind, text
