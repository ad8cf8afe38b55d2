"""The addresses of the API and what stands behind each, as `/openapi.json` describes them."""

from aiohttp import web
from wabus_runtime.http.headers import IDEMPOTENCY_KEY, IF_NONE_MATCH, PREFER_WAIT
from wabus_runtime.http.openapi import Operation, route
from wabus_whatsapp.sending.uploads import FILE_TYPES

from wabus_sender.api.messages import MessagesApi
from wabus_sender.api.models import (
    BatchRequest,
    BatchResults,
    BlockView,
    CheckView,
    LabelRequest,
    LabelView,
    NumberPath,
    NumberView,
    OptedView,
    PolicyBody,
    ReadRequest,
    ReadView,
    ReportRequest,
    ReportView,
    SendPath,
    SendRequest,
    Sends,
    SendsQuery,
    SendView,
    Taken,
    UploadPath,
    UploadView,
    WhomRequest,
    WordsBody,
)
from wabus_sender.api.numbers import NumbersApi
from wabus_sender.api.people.blocking import BlockingApi
from wabus_sender.api.people.opting import OptingApi
from wabus_sender.api.policy import PolicyApi
from wabus_sender.api.reporting import ReportingApi
from wabus_sender.api.sends import SendsApi
from wabus_sender.api.uploads import UploadsApi

TAG = "sending"

SEND = Operation(
    "POST", "/messages", "Send a message", TAG,
    {202: Taken, 200: SendView}, (400, 403, 408, 413, 415, 422, 429), body=SendRequest,
    headers={"Idempotency-Key": IDEMPOTENCY_KEY, "Prefer": PREFER_WAIT},
)  # fmt: skip
BATCH = Operation(
    "POST", "/messages/batch", "Send up to a thousand messages, each as if it were sent alone", TAG,
    {200: BatchResults}, (400, 403, 408, 413, 415, 422), body=BatchRequest,
)  # fmt: skip
AGAIN = Operation(
    "POST", "/sends/{send_id}/again", "Send the message of a send that has ended once more, as a new one", TAG,
    {202: Taken, 200: SendView}, (403, 404, 409, 422, 429), path_parameters=SendPath,
    headers={"Idempotency-Key": IDEMPOTENCY_KEY, "Prefer": PREFER_WAIT},
)  # fmt: skip
CHECK = Operation(
    "POST", "/messages/check", "Whether a message could be sent now; nothing is sent", TAG,
    {200: CheckView}, (400, 403, 408, 413, 415, 422), body=SendRequest,
)  # fmt: skip
REPORT = Operation(
    "POST", "/messages/reported", "Tell of a message that another system has sent from your number", TAG,
    {202: ReportView}, (400, 403, 408, 413, 415, 422), body=ReportRequest,
)  # fmt: skip
OPT_OUT = Operation(
    "POST", "/messages/opt-out", "Say that a person wants no marketing of yours", TAG,
    {202: OptedView}, (400, 403, 408, 413, 415, 422), body=WhomRequest,
)  # fmt: skip
OPT_IN = Operation(
    "POST", "/messages/opt-in", "Say that a person wants marketing of yours again", TAG,
    {202: OptedView}, (400, 403, 408, 413, 415, 422), body=WhomRequest,
)  # fmt: skip
BLOCK = Operation(
    "POST", "/messages/block", "Block a person for one of your numbers", TAG,
    {202: BlockView, 200: BlockView}, (400, 403, 408, 413, 415, 422), body=WhomRequest, headers={"Prefer": PREFER_WAIT},
)  # fmt: skip
UNBLOCK = Operation(
    "POST", "/messages/unblock", "Block a person for one of your numbers no more", TAG,
    {202: BlockView, 200: BlockView}, (400, 403, 408, 413, 415, 422), body=WhomRequest, headers={"Prefer": PREFER_WAIT},
)  # fmt: skip
POLICY = Operation(
    "GET", "/messages/policy", "What happens to what can't be sent for a while", TAG, {200: PolicyBody}, (403,),
)  # fmt: skip
SET_POLICY = Operation(
    "PUT", "/messages/policy", "Choose what happens to what can't be sent for a while", TAG,
    {200: PolicyBody}, (400, 403, 408, 413, 415, 422), body=PolicyBody,
)  # fmt: skip
WORDS = Operation(
    "GET", "/messages/keywords", "The words by which people tell you that they want no marketing, or want it again",
    TAG, {200: WordsBody}, (403,),
)  # fmt: skip
SET_WORDS = Operation(
    "PUT", "/messages/keywords", "Choose the words by which people tell you what they want", TAG,
    {200: WordsBody}, (400, 403, 408, 413, 415, 422), body=WordsBody,
)  # fmt: skip
LIST = Operation(
    "GET", "/sends", "What was asked to be sent, the newest first", TAG,
    {200: Sends, 304: None}, (403, 422), query=SendsQuery, headers=IF_NONE_MATCH,
)  # fmt: skip
ONE = Operation(
    "GET", "/sends/{send_id}", "One send, and what became of it", TAG,
    {200: SendView, 304: None}, (403, 404, 422), path_parameters=SendPath, headers=IF_NONE_MATCH,
)  # fmt: skip
CANCEL = Operation(
    "POST", "/sends/{send_id}/cancel", "Cancel a send that WhatsApp was not asked for yet", TAG,
    {200: SendView, 202: SendView}, (403, 404, 409, 422), path_parameters=SendPath, headers={"Prefer": PREFER_WAIT},
)  # fmt: skip
READ = Operation(
    "POST", "/messages/read", "Say that what a person wrote was read, and perhaps that an answer is being written", TAG,
    {202: ReadView}, (400, 403, 408, 413, 415, 422), body=ReadRequest,
)  # fmt: skip
PAUSE = Operation(
    "POST", "/sends/pause", "Let everything wait that has a label", TAG,
    {202: LabelView}, (400, 403, 408, 413, 415, 422), body=LabelRequest,
)  # fmt: skip
RESUME = Operation(
    "POST", "/sends/resume", "Let what has a label wait no more", TAG,
    {202: LabelView}, (400, 403, 408, 413, 415, 422), body=LabelRequest,
)  # fmt: skip
NUMBER = Operation(
    "GET", "/numbers/{phone_number_id}/sending", "How a number sends: how fast, what waits, and why it stands", TAG,
    {200: NumberView}, (403, 404, 422), path_parameters=NumberPath,
)  # fmt: skip

UPLOAD = Operation(
    "POST", "/numbers/{phone_number_id}/media", "Give WhatsApp a file, to be sent from this number by its id", TAG,
    {201: UploadView, 202: UploadView}, (400, 403, 404, 408, 413, 415, 422, 429), path_parameters=NumberPath,
    file=tuple(FILE_TYPES), headers={"Prefer": PREFER_WAIT},
)  # fmt: skip
ONE_UPLOAD = Operation(
    "GET", "/numbers/{phone_number_id}/media/{upload_id}", "What became of a file", TAG,
    {200: UploadView}, (403, 404, 422), path_parameters=UploadPath,
)  # fmt: skip

OPERATIONS = (
    SEND,
    BATCH,
    CHECK,
    REPORT,
    LIST,
    ONE,
    CANCEL,
    AGAIN,
    READ,
    PAUSE,
    RESUME,
    NUMBER,
    UPLOAD,
    ONE_UPLOAD,
    OPT_OUT,
    OPT_IN,
    WORDS,
    SET_WORDS,
    BLOCK,
    UNBLOCK,
    POLICY,
    SET_POLICY,
)


def add_routes(
    app: web.Application,
    messages: MessagesApi,
    sends: SendsApi,
    numbers: NumbersApi,
    uploads: UploadsApi,
    reporting: ReportingApi,
    opting: OptingApi,
    blocking: BlockingApi,
    policy: PolicyApi,
) -> None:
    """Route every operation."""
    handlers = (
        (SEND, messages.send),
        (BATCH, messages.send_batch),
        (CHECK, messages.check),
        (REPORT, reporting.report),
        (OPT_OUT, opting.opt_out),
        (OPT_IN, opting.opt_in),
        (BLOCK, blocking.block),
        (UNBLOCK, blocking.unblock),
        (POLICY, policy.show),
        (SET_POLICY, policy.choose),
        (WORDS, opting.words),
        (SET_WORDS, opting.set_words),
        (AGAIN, messages.again),
        (READ, sends.read),
        (PAUSE, sends.pause),
        (RESUME, sends.resume),
        (NUMBER, numbers.sending),
        (UPLOAD, uploads.upload),
        (ONE_UPLOAD, uploads.one_upload),
        (LIST, sends.list_sends),
        (ONE, sends.one_send),
        (CANCEL, sends.cancel),
    )
    route(app, handlers)
