"""The names that public data sets give to the parts of a record: tables, one for each part, the usual names first."""

from __future__ import annotations

from filial import Role

ROLES: dict[str, Role] = {
    **dict.fromkeys(("user", "human", "prompter", "customer", "client"), "user"),
    **dict.fromkeys(
        ("assistant", "gpt", "model", "bot", "ai", "chatgpt", "chatbot", "bing", "bard", "claude", "gemini", "llm",
         "agent"),
        "assistant",
    ),
    **dict.fromkeys(("system", "developer", "system_prompt"), "system"),
    **dict.fromkeys(("function_call", "tool_call", "tool_calls", "tool_use"), "tool_call"),
    **dict.fromkeys(
        ("tool", "observation", "function", "ipython", "tool_response", "tool_result", "tool_output",
         "function_response"),
        "tool",
    ),
}  # fmt: skip
"""Who speaks, by the name in lower case."""

SPEAKER = ("role", "from", "speaker", "sender")
TEXT = ("content", "value", "text", "message", "utterance", "parts")
REFUSAL = ("refusal",)
"""What is said instead of an answer (OpenAI)."""

QUESTION = (
    "prompt", "question", "query", "instruction", "problem", "user_prompt", "inputs", "input",
)  # fmt: skip
"""What is asked; ``input`` only where nothing else is."""
ALONE = ("prompt", "question", "query", "instruction", "problem", "user_prompt")
"""What is asked, where the row has no answer: names that hold nothing but a task."""
GIVEN = ("input", "context", "passage", "article", "paragraph")
ANSWER = (
    "completion", "response", "output", "generation", "generated_solution", "solution", "answer", "targets", "target",
    "outputs", "reply", "assistant", "canonical_solution", "code",
)  # fmt: skip
"""What is answered; a worked solution before the ``answer`` in a word."""
ANSWERS = ("completions", "generations", "responses", "answers", "outputs", "candidates", "samples", "solutions")
"""Several answers to one question."""
GRADE = ("overall_score", "score", "rating", "reward", "grade")
GRADES = ("ratings", "scores", "rating", "rewards", "grades", "overall_scores")
"""The grades of several answers, in a column of their own."""
RANK = ("rank", "ranks", "ranking")
"""A place in a list, from 1: the lower, the better."""
RIGHT = (
    "correct", "is_correct", "correctness", "correctness_math_verify", "is_right", "passed", "verified", "labels",
    "label",
)  # fmt: skip
"""Whether an answer is right, or wanted, in it or in a list beside several."""

CHOSEN = (
    "chosen", "chosen_response", "chosen_answer", "chosen_messages", "preferred", "preferred_output", "accepted",
    "accepted_response", "winner",
)  # fmt: skip
REJECTED = (
    "rejected", "rejected_response", "rejected_answer", "rejected_messages", "dispreferred", "non_preferred_output",
    "loser",
)  # fmt: skip

SIDES = (
    ("response_1", "response_2"), ("response1", "response2"), ("response_0", "response_1"),
    ("response_a", "response_b"),
    ("answer_1", "answer_2"), ("answer_0", "answer_1"), ("answer_a", "answer_b"), ("output_1", "output_2"),
    ("completion_1", "completion_2"), ("completion_a", "completion_b"), ("conversation_a", "conversation_b"),
)  # fmt: skip
"""Two answers side by side."""
STRENGTH = ("preference_strength", "overall_preference")
"""How much better the second of two answers is; below 0 the first one is the better."""
WINNER = (
    "winner", "preference", "preferred", "better", "better_response_id", "safer_response_id", "better_response",
    "preferred_response",
)  # fmt: skip
"""Which of two answers is the better, by the end of its column's name: 1, B, model_b."""
WON = (("winner_model_a", "winner_model_b"), ("winner_a", "winner_b"))
"""Marks of the first and the second answer, true for the better one."""

CONVERSATIONS = ("conversations", "items")
WRAPPERS = ("items", "data")
"""Columns of turns which are also what files call the list of their rows."""
MESSAGES = ("messages",)
DIALOGUE = ("conversation", "dialogue", "dialog", "chat", "turns", "data", "trajectory", "contents")
DEFINITION = "definition"
"""What is asked of ``inputs`` (Super-NaturalInstructions)."""
QUESTIONS = ("turns",)
"""The questions of a benchmark, each of which is asked after the answer to the one before (MT-Bench)."""

SYSTEM = (
    "system", "system_prompt", "system_message", "sys_prompt", "system_instruction", "system_instructions",
)  # fmt: skip
HISTORY = ("history", "conversation_history", "chat_history")
REASONING = (
    "reasoning_content", "reasoning", "rationale", "thinking", "thinking_content", "reasoning_text", "reasoning_trace",
    "chain_of_thought", "cot", "thought", "thoughts", "think", "complex_cot",
)  # fmt: skip
RATIONALES = ("rationale", "rationales")
"""Where several answers are graded: what the judge says."""
THOUGHTS = ("reasoning_details", "thinking_blocks", "reasoning_blocks")
"""The reasoning of a turn as a list of parts (OpenRouter, LiteLLM)."""
BESIDE_AN_ANSWER = ("__reasoning_content", "__reasoning_trace", "_reasoning_content", "_reasoning")
"""How the column of an answer's reasoning ends that begins with the answer's own name."""
TOOLS = ("tools", "functions", "available_tools", "tool_definitions")
CALLS = ("tool_calls", "function_call", "function_calls")
CALL_ID = ("tool_call_id", "tool_use_id")

TRAINED = ("train", "trainable", "weight", "loss", "loss_weight", "loss_mask", "trained", "masked", "is_masked")
"""The usual flags of a turn; `flags.tell_flag` tells others by their words, and what each means."""
UNCLEAR = ("train_detail", "train_details", "mask", "label_mask", "assistant_mask", "assistant_masks")
"""Marks of a turn that a record has no place for, or that public data use both ways."""
UNHELD = ("prefix", "partial", *CHOSEN, *REJECTED, *SYSTEM, *HISTORY, "choices", "options", "alternatives", "replies")
"""What changes the meaning of a turn, and has no place in one."""
WEIGHT = ("weight", "loss_weight", "sample_weight", "train", "trainable")
"""The usual flags of a whole row; `flags.is_flag_of_row` tells others."""

LABEL = (
    "label", "kto_tag", "kto_label", "desirable", "is_desirable", "is_correct", "thumbs_up", "accepted", "is_accepted",
)  # fmt: skip
VERDICT = (
    "correct", "is_right", "passed", "is_good", "is_chosen", "is_preferred", "chosen", "preferred", "selected",
    "feedback", "user_feedback", "verdict", "status", "review_status", "annotation", "quality", "desirability",
    "judgement", "judgment", "thumbs", "vote",
)  # fmt: skip
"""A `LABEL` only where it is true or false, or one of the words in `WANTED`."""
DENIED = ("rejected", "is_rejected", "is_bad", "dispreferred")
"""The opposite of a `LABEL`, where it is true or false."""
WANTED = {
    **dict.fromkeys(
        ("true", "yes", "desirable", "chosen", "good", "accepted", "accept", "preferred", "like", "liked", "thumbs_up",
         "thumbs up", "thumbsup", "up", "upvote", "correct", "right"),
        True,
    ),
    **dict.fromkeys(
        ("false", "no", "undesirable", "rejected", "bad", "reject", "dispreferred", "not preferred", "dislike",
         "disliked", "thumbs_down", "thumbs down", "thumbsdown", "down", "downvote", "incorrect", "wrong"),
        False,
    ),
}  # fmt: skip
"""What a label says in words."""

MEDIA = (
    "images", "image", "videos", "video", "audios", "audio", "image_url", "input_audio", "image_path", "pixel_values",
)  # fmt: skip
"""What a text model cannot be trained on."""
