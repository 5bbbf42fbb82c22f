"""The families of servers, one file each."""

from chatsite.engine.remote.families.chatsite import CHATSITE
from chatsite.engine.remote.families.family import Continuation, Counting, Family
from chatsite.engine.remote.families.llama_cpp import LLAMA_CPP
from chatsite.engine.remote.families.lm_studio import LM_STUDIO
from chatsite.engine.remote.families.ollama import OLLAMA
from chatsite.engine.remote.families.openai import OPENAI
from chatsite.engine.remote.families.openrouter import OPENROUTER
from chatsite.engine.remote.families.transformers_serve import TRANSFORMERS_SERVE
from chatsite.engine.remote.families.unknown import UNKNOWN
from chatsite.engine.remote.families.vllm import VLLM

__all__ = ["FAMILIES", "UNKNOWN", "Continuation", "Counting", "Family", "find_family"]

FAMILIES = {
    family.name: family
    for family in (CHATSITE, LLAMA_CPP, LM_STUDIO, OLLAMA, OPENAI, OPENROUTER, TRANSFORMERS_SERVE, UNKNOWN, VLLM)
}


def find_family(name: str) -> Family:
    """Return the family of a name; the unknown family for an unknown name."""
    return FAMILIES.get(name, UNKNOWN)
